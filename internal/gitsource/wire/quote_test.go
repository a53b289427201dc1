package wire

import (
	"strings"
	"testing"
)

// dequote is what a shell makes of one word: quoted parts as they are, and a backslash for the next character.
func dequote(t *testing.T, s string) string {
	t.Helper()
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				t.Fatalf("%q: a quote is left open", s)
			}
			out.WriteString(s[i+1 : i+1+end])
			i += end + 1
		case '\\':
			if i++; i == len(s) {
				t.Fatalf("%q ends with a backslash", s)
			}
			out.WriteByte(s[i])
		default:
			t.Fatalf("%q: %q stands outside of quotes", s, s[i])
		}
	}
	return out.String()
}

// FuzzQuote: the path of an ssh repository is one word for the shell of the server, and the word is the path.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"/shop.git", "/a'b", "/a!b", "/$(id)`id`", "/'; rm -rf ~; '", "/a b\nc", "/\\'", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if got := dequote(t, quote(path)); got != path {
			t.Fatalf("%q -> %q -> %q", path, quote(path), got)
		}
	})
}
