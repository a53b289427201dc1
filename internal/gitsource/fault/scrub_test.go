package fault_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

const (
	user     = "jo.canary"
	password = `p@ss/w"rd? ünd+more`
	token    = "canary-token-55d0"
)

// No form of a secret that comes back passes, whoever repeats it: a server, a proxy or a library that quotes what it read.
func TestScrubHidesSecrets(t *testing.T) {
	req, err := http.NewRequest(http.MethodGet, "https://h/x", nil) //nolint:noctx // never sent
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	pair := user + ":" + password
	address := url.URL{Scheme: "https", User: url.UserPassword(user, password), Host: "git.example.eu", Path: "/shop"}
	failed := &url.Error{Op: "Get", URL: address.String(), Err: http.ErrSchemeMismatch}
	for name, text := range map[string]string{
		"as it is":                  "no access for " + pair + " here",
		"user only":                 "user " + user + " does not exist",
		"password only":             "got " + password,
		"authorization header":      "Authorization: " + req.Header.Get("Authorization"),
		"header value":              "you sent " + req.Header.Get("Authorization"),
		"base64":                    "x" + base64.StdEncoding.EncodeToString([]byte(pair)) + "x",
		"base64 without padding":    base64.RawStdEncoding.EncodeToString([]byte(pair)),
		"base64 for URLs":           base64.URLEncoding.EncodeToString([]byte(pair)),
		"base64 of the password":    base64.RawURLEncoding.EncodeToString([]byte(password)),
		"hex":                       hex.EncodeToString([]byte(password)),
		"in a query":                "https://h/x?access=" + url.QueryEscape(password) + "&a=b",
		"query without URL":         "access=" + url.QueryEscape(password),
		"in a path":                 "https://h/" + url.PathEscape(password) + "/x",
		"in a URL":                  "fetch " + address.String() + " failed",
		"in a URL that is not one":  "fetch https://" + pair + "@git.example.eu/shop failed",
		"error of net/http":         failed.Error(),
		"quoted":                    "malformed response " + strconv.Quote("HTTP/9 "+pair),
		"bearer":                    "Bearer " + token,
		"token in a path":           "https://h/" + token + "/x",
		"token with a control char": "\x1b[31m" + token + "\x1b[0m",
		"token with separators":     "…" + token + "\u200b",
	} {
		t.Run(name, func(t *testing.T) {
			got := fault.Scrub(text, pair, password, user, token)
			for _, secret := range []string{user, password, token, "ünd", "more", "w%22rd", base64.RawStdEncoding.EncodeToString([]byte(password))[:12],
				base64.RawStdEncoding.EncodeToString([]byte(pair))[:12], hex.EncodeToString([]byte(password))[:12]} {
				if strings.Contains(got, secret) {
					t.Errorf("%q shows %q", got, secret)
				}
			}
		})
	}
}

// What nobody has told us is a secret goes too where its place shows it.
func TestScrubHidesByPlace(t *testing.T) {
	for text, want := range map[string]string{
		"https://ann:abc@h/x failed":          "https://h/x failed",
		"https://ann@h/x":                     "https://h/x",
		"ssh://ann:a/b@h/x":                   "ssh://h/x",
		"see https://h/x?token=abc, please":   "see https://h/x please",
		"Authorization: Basic abcdef==":       "Authorization ***",
		"authorization=Bearer abc and more":   "authorization=Bearer *** and more",
		"Bearer abc":                          "Bearer ***",
		"private_token=abc rest":              "private_token=*** rest",
		`{"password": "abc"}`:                 `{"password=***`,
		"password authentication was removed": "password authentication was removed",
		"a\x00b\nc\r\x1b[31md\u202ee\u200bf":  "a b c [31md e f",
		"\xff\xfe bytes":                      "bytes",
		"":                                    "",
		strings.Repeat("x", 300):              strings.Repeat("x", 200) + "...",
		strings.Repeat(" ", 300) + "the end":  "the end",
	} {
		if got := fault.Scrub(text); got != want {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
	for secret, want := range map[string]string{"al": "*** has no albums", "": "al has no albums", "has": "al *** no albums"} {
		if got := fault.Scrub("al has no albums", secret); got != want {
			t.Errorf("without %q: got %q, want %q", secret, got, want)
		}
	}
}
