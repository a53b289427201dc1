package webhook

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // to see it refused
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func hexOf(algorithm func() hash.Hash, body []byte) string {
	mac := hmac.New(algorithm, []byte(token))
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func TestAuthenticate(t *testing.T) {
	for provider, event := range providers {
		t.Run(string(provider), func(t *testing.T) {
			body := []byte(`{"a": 1}`)
			if _, err := Authenticate(sent(provider, event, token, body), []byte(token)); err != nil {
				t.Fatalf("as the provider sends it: %v", err)
			}
			header := tokenHeader
			if s, signs := schemes[provider]; signs {
				header = s.header
			}
			bare := digits(token, body)
			change := func(value ...string) func(*Delivery) { return func(d *Delivery) { d.Header[header] = value } }
			refused := map[string]func(*Delivery){
				"unsigned":         func(d *Delivery) { delete(d.Header, header) },
				"no value":         change(),
				"empty":            change(""),
				"twice":            func(d *Delivery) { d.Header[header] = append(d.Header[header], d.Header[header][0]) },
				"twice, one wrong": func(d *Delivery) { d.Header[header] = append(d.Header[header], "x") },
				"other token":      func(d *Delivery) { *d = sent(provider, event, "fedcba9876543210-made-up", body) },
				"no token":         func(d *Delivery) { *d = sent(provider, event, "", body) },
				"no such provider": func(d *Delivery) { d.Provider = "Gogs" },
				"no provider":      func(d *Delivery) { d.Provider = "" },
				"token, shortened": change(token[:len(token)-1]),
				"token, longer":    change(token + "x"),
			}
			if provider != v1alpha1.WebhookGitLab {
				maps.Copy(refused, map[string]func(*Delivery){
					"other body":          func(d *Delivery) { d.Body = []byte(`{"a": 2}`) },
					"body cut":            func(d *Delivery) { d.Body = d.Body[1:] },
					"no body":             func(d *Delivery) { d.Body = nil },
					"the token itself":    change(token),
					"sha1 only":           change("sha1=" + hexOf(sha1.New, body)),
					"sha1, called sha256": change("sha256=" + hexOf(sha1.New, body)),
					"md5":                 change("md5=00000000000000000000000000000000"),
					"no digits":           change("sha256="),
					"half of the digits":  change("sha256=" + bare[:32]),
					"digits and more":     change("sha256=" + bare + "00"),
					"not hex":             change("sha256=" + strings.Repeat("z", 64)),
					"blank before":        change(" sha256=" + bare),
					"two in one":          change("sha256=" + bare + ", sha256=" + bare),
					"zeros":               change("sha256=" + strings.Repeat("0", 64)),
				})
			}
			for name, damage := range refused {
				d := sent(provider, event, token, body)
				damage(&d)
				a, err := Authenticate(d, []byte(token))
				if !errors.Is(err, ErrUnauthenticated) {
					t.Errorf("%s: %v", name, err)
				}
				if m, err := a.Read(); err == nil || m.Kind != Ignored || len(m.Push.Repositories) > 0 {
					t.Errorf("%s: what was not authenticated was read: %+v, %v", name, m, err)
				}
				if err != nil && strings.Contains(err.Error(), token) {
					t.Errorf("%s: the token is in the message: %v", name, err)
				}
			}
		})
	}
}

// With a token that is missing, empty or short nothing is authenticated, even if the sender has the same one.
func TestUnfitToken(t *testing.T) {
	for provider, event := range providers {
		for _, unfit := range []string{"", "x", strings.Repeat("x", MinToken-1), strings.Repeat("x", MaxToken+1)} {
			if _, err := Authenticate(sent(provider, event, unfit, []byte("{}")), []byte(unfit)); !errors.Is(err, ErrUnfitToken) {
				t.Errorf("%s, %d bytes: %v", provider, len(unfit), err)
			}
		}
		for _, fit := range []string{strings.Repeat("x", MinToken), strings.Repeat("x", MaxToken)} {
			if _, err := Authenticate(sent(provider, event, fit, []byte("{}")), []byte(fit)); err != nil {
				t.Errorf("%s, %d bytes: %v", provider, len(fit), err)
			}
		}
	}
}

func TestGenericAlgorithms(t *testing.T) {
	body := []byte("anything")
	for value, ok := range map[string]bool{
		"sha384=" + hexOf(sha512.New384, body):                true,
		"sha512=" + hexOf(sha512.New, body):                   true,
		"sha512=" + strings.ToUpper(hexOf(sha512.New, body)):  true,
		"sha512=" + hexOf(sha512.New384, body):                false,
		"sha512_256=" + hexOf(sha512.New512_256, body):        false,
		"SHA256=" + digits(token, body):                       false,
		digits(token, body):                                   false,
		"sha256=sha256=" + digits(token, body):                false,
		"sha256=" + digits(token, body) + "\n":                false,
		"sha384=" + strings.Repeat("0", 2*sha512.Size384):     false,
		"sha1=" + hexOf(sha1.New, body) + digits(token, body): false,
	} {
		d := Delivery{Provider: v1alpha1.WebhookGeneric, Header: Headers{"X-Signature": {value}}, Body: body}
		if _, err := Authenticate(d, []byte(token)); (err == nil) != ok {
			t.Errorf("%.20s: %v", value, err)
		}
	}
}

// A signature of one provider is none of another: a header more does not help.
func TestOneProvidersSignatureIsNotAnothers(t *testing.T) {
	all := slices.Sorted(maps.Keys(providers))
	for _, sender := range all {
		for _, reader := range all {
			d := sent(sender, providers[sender], token, []byte("{}"))
			d.Provider = reader
			_, err := Authenticate(d, []byte(token))
			// Forgejo sends the header of Gitea along, and means it.
			if want := sender == reader || sender == v1alpha1.WebhookForgejo && reader == v1alpha1.WebhookGitea; (err == nil) != want {
				t.Errorf("sent by %s, read as of %s: %v", sender, reader, err)
			}
		}
	}
}
