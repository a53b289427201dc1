package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A terminal obeys what is written to it: a commit, a file or an object of the cluster could move the cursor, change what was said before,
// or make the terminal type. So nothing but text leaves this program. There are two layers: safe for what has to be one line of text, and
// safeWriter under all output, which nobody can forget.

// isText reports whether a rune is shown as it is: no control character, nothing that turns the direction of text or is not seen.
func isText(r rune) bool { return unicode.IsPrint(r) }

// visible writes a rune that is no text in ASCII.
func visible(r rune) string {
	switch {
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// safe makes one line of a text: white space becomes spaces, and what is no text is shown as an escape.
func safe(text string) string {
	return strings.Join(strings.FieldsFunc(safeLines(text), func(r rune) bool { return r == '\n' || r == '\t' || r == ' ' }), " ")
}

// safeLines leaves line breaks and tabs.
func safeLines(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !isText(r) || r == utf8.RuneError }) < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case isText(r), r == '\n', r == '\t':
			b.WriteRune(r)
		default:
			b.WriteString(visible(r))
		}
		i += n
	}
	return b.String()
}

// safeWriter lets only text, line breaks and tabs through, whatever is written to it in whatever pieces.
type safeWriter struct {
	to io.Writer
	mu sync.Mutex
	// rest is the beginning of a rune.
	rest []byte
}

func (w *safeWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(w.rest, p...)
	end := len(all)
	for i := max(0, end-utf8.UTFMax+1); i < end; i++ {
		if utf8.RuneStart(all[i]) && !utf8.FullRune(all[i:]) {
			end = i
			break
		}
	}
	w.rest = append([]byte(nil), all[end:]...)
	if _, err := io.WriteString(w.to, safeLines(string(all[:end]))); err != nil {
		return 0, err
	}
	return len(p), nil
}
