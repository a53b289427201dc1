package fault

import (
	"encoding/base64"
	"regexp"
	"strings"
	"unicode"
)

// maxForeignText bounds what is taken over from a server into a message: a condition is read by people, and a hostile
// server would otherwise choose its length.
const maxForeignText = 200

var (
	userinfoPattern = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@]*@`)
	queryPattern    = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s?"']*)\?[^\s"']*`)
	headerPattern   = regexp.MustCompile(`(?i)(authorization|bearer|basic)[:\s]+\S+`)
)

// Scrub makes foreign text fit for a message: user information, query strings, authorization headers and the given
// secrets go, control and formatting characters (terminal and log injection) become spaces, the length is bounded.
func Scrub(text string, secrets ...string) string {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		text = strings.ReplaceAll(text, s, "***")
		text = strings.ReplaceAll(text, base64.StdEncoding.EncodeToString([]byte(s)), "***")
	}
	text = userinfoPattern.ReplaceAllString(text, "$1")
	text = queryPattern.ReplaceAllString(text, "$1")
	text = headerPattern.ReplaceAllString(text, "$1 ***")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || unicode.In(r, unicode.Cf) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxForeignText {
		text = string(runes[:maxForeignText]) + "..."
	}
	return text
}
