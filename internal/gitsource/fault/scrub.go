package fault

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxForeignText bounds what is taken over from a server into a message: a condition is read by people, and a hostile
// server would otherwise choose its length.
const maxForeignText = 200

var (
	// User information ends at the last @ before a space or the path, but a password with a slash has been seen too: up to the next space.
	userinfoPattern = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s"'<>]*@`)
	queryPattern    = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s?"']*)\?[^\s"']*`)
	headerPattern   = regexp.MustCompile(`(?i)(authorization|bearer|basic)[:\s]+((basic|bearer|token|digest|negotiate)\s+)?\S+`)
	valuePattern    = regexp.MustCompile(`(?i)(token|passw(?:or)?d|secret|api-?key)("?\s*[:=]\s*"?)\S+`)
)

// Scrub makes foreign text fit for a message: user information, query strings, what follows words such as "authorization" or "token=",
// and the given secrets go, also encoded as they are on the wire; control and formatting characters (terminal and log injection)
// become spaces, the length is bounded.
func Scrub(text string, secrets ...string) string {
	text = strings.ToValidUTF8(text, " ")
	text = hide(text, secrets)
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || unicode.In(r, unicode.Cf) {
			return ' '
		}
		return r
	}, text)
	text = userinfoPattern.ReplaceAllString(text, "$1")
	text = queryPattern.ReplaceAllString(text, "$1")
	text = headerPattern.ReplaceAllString(text, "$1 ***")
	text = valuePattern.ReplaceAllString(text, "$1=***")
	text = hide(strings.Join(strings.Fields(text), " "), secrets)
	if runes := []rune(text); len(runes) > maxForeignText {
		text = string(runes[:maxForeignText]) + "..."
	}
	return text
}

// hide replaces each secret in every form in which a server, a proxy or a library repeats it.
func hide(text string, secrets []string) string {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		if utf8.RuneCountInString(s) < 4 {
			// Within other words a short one tells nothing, and replacing it there would tell where it is.
			text = regexp.MustCompile(`(^|[^\pL\pN])`+regexp.QuoteMeta(s)+`($|[^\pL\pN])`).ReplaceAllString(text, "$1***$2")
			continue
		}
		for _, form := range forms(s) {
			text = strings.ReplaceAll(text, form, "***")
		}
	}
	return text
}

func forms(s string) []string {
	b := []byte(s)
	quoted := strconv.Quote(s)
	return []string{
		s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:], quoted[1 : len(quoted)-1],
		base64.StdEncoding.EncodeToString(b), base64.RawStdEncoding.EncodeToString(b),
		base64.URLEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), hex.EncodeToString(b),
	}
}
