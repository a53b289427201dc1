package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// MinToken is the least number of bytes of a token. With fewer, who has seen one delivery could find it by trying.
const MinToken = 16

// MaxToken is the greatest: nobody types more, and it is kept in memory.
const MaxToken = 4096

var (
	// ErrUnauthenticated is a delivery that does not show that its sender knows the token.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrUnfitToken is a token with which nothing is authenticated.
	ErrUnfitToken = fmt.Errorf("the token has fewer than %d bytes or more than %d", MinToken, MaxToken)
)

// Headers of a request, by canonical name.
type Headers map[string][]string

// one is the value of a header that is there once. Of two, one reader takes the first and another the last.
func (h Headers) one(name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// scheme is how a provider signs.
type scheme struct {
	header string
	// prefixes are the algorithms that stand before the hex digits; "" stands for none.
	prefixes map[string]func() hash.Hash
}

var schemes = map[v1alpha1.WebhookProvider]scheme{
	// X-Hub-Signature, with SHA-1, comes along and is never looked at.
	v1alpha1.WebhookGitHub:  {"X-Hub-Signature-256", map[string]func() hash.Hash{"sha256=": sha256.New}},
	v1alpha1.WebhookGitea:   {"X-Gitea-Signature", map[string]func() hash.Hash{"": sha256.New}},
	v1alpha1.WebhookForgejo: {"X-Forgejo-Signature", map[string]func() hash.Hash{"": sha256.New}},
	v1alpha1.WebhookGeneric: {"X-Signature", map[string]func() hash.Hash{"sha256=": sha256.New, "sha384=": sha512.New384, "sha512=": sha512.New}},
}

// tokenHeader is where GitLab sends the token itself.
const tokenHeader = "X-Gitlab-Token"

// authenticate checks the raw bytes. Its errors say what is missing, and nothing of what was sent.
func authenticate(d Delivery, token []byte) error {
	if len(token) < MinToken || len(token) > MaxToken {
		return ErrUnfitToken
	}
	if d.Provider == v1alpha1.WebhookGitLab {
		return sameToken(d.Header.one(tokenHeader), token)
	}
	s, known := schemes[d.Provider]
	if !known {
		return fmt.Errorf("%w: no such provider", ErrUnauthenticated)
	}
	value := d.Header.one(s.header)
	if value == "" {
		return fmt.Errorf("%w: no header %s, or more than one", ErrUnauthenticated, s.header)
	}
	for prefix, algorithm := range s.prefixes {
		digits, fits := strings.CutPrefix(value, prefix)
		if !fits {
			continue
		}
		given, err := hex.DecodeString(digits)
		mac := hmac.New(algorithm, token)
		if err != nil || len(given) != mac.Size() {
			break
		}
		_, _ = mac.Write(d.Body)
		if !hmac.Equal(mac.Sum(nil), given) {
			return fmt.Errorf("%w: the signature in %s does not match: another token, or another body", ErrUnauthenticated, s.header)
		}
		return nil
	}
	return fmt.Errorf("%w: %s is no signature that counts", ErrUnauthenticated, s.header)
}

// sameToken compares digests, so that the time tells nothing of the length either.
func sameToken(given string, token []byte) error {
	if given == "" {
		return fmt.Errorf("%w: no header %s, or more than one", ErrUnauthenticated, tokenHeader)
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256(token)
	if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		return fmt.Errorf("%w: %s is another token", ErrUnauthenticated, tokenHeader)
	}
	return nil
}
