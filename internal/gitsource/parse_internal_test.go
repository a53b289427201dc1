package gitsource

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

const someID = "0123456789abcdef0123"

// Trees that Git's own server refuses to send. A hostile server has no such scruples.
func TestParseTree(t *testing.T) {
	for name, tc := range map[string]struct {
		raw  string
		good bool
	}{
		"empty":                       {"", true},
		"one file":                    {"100644 a\x00" + someID, true},
		"folder sorts with its slash": {"100644 a.b\x00" + someID + "40000 a\x00" + someID + "100644 a0\x00" + someID, true},
		"folder sorts without it":     {"40000 a\x00" + someID + "100644 a.b\x00" + someID, false},
		"empty name":                  {"100644 \x00" + someID, false},
		"file and folder":             {"100644 a\x00" + someID + "40000 a\x00" + someID, false},
		"apart, but the same name":    {"100644 a\x00" + someID + "100644 a.b\x00" + someID + "40000 a\x00" + someID, false},
		"no mode":                     {" a\x00" + someID, false},
		"mode is text":                {"x a\x00" + someID, false},
		"no name":                     {"100644", false},
		"name without end":            {"100644 a", false},
		"id cut":                      {"100644 a\x00" + someID[:19], false},
		"rubbish after":               {"100644 a\x00" + someID + "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseTree([]byte(tc.raw))
			if tc.good != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil && !errors.Is(err, ErrUnsafeTree) {
				t.Errorf("no kind: %v", err)
			}
		})
	}
}

func TestCheckHeader(t *testing.T) {
	const tree, parent, author, committer = "tree x\n", "parent x\n", "author x\n", "committer x\n"
	for raw, good := range map[string]bool{
		tree + author + committer + "\nmessage\n\ntree x":                                true,
		tree + parent + parent + author + committer + "\n":                               true,
		tree + author + committer + "gpgsig -----\n tree x\n -----\nencoding x\n" + "\n": true,
		tree + tree + author + committer:                                                 false,
		tree + author + committer + tree:                                                 false,
		tree + author + parent + committer:                                               false,
		tree + author + author + committer:                                               false,
		tree + author + committer + committer:                                            false,
		tree + author + committer + "gpgsig x\n" + parent:                                false,
		author + committer:                                                               false,
		tree + author:                                                                    false,
		"":                                                                               false,
		"rubbish":                                                                        false,
	} {
		if err := checkHeader([]byte(raw)); good != (err == nil) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

// FuzzParseTree: what is accepted has only names that mean the same everywhere, once each, in order.
func FuzzParseTree(f *testing.F) {
	for _, name := range []string{"a", ".git", "..", "a/b", "a\\b", "a\nb", "git~1", ".g\u200cit", "äöü", "\xff"} {
		f.Add([]byte("100644 " + name + "\x00" + someID + "40000 b\x00" + someID))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parseTree(raw)
		if err != nil {
			if !errors.Is(err, ErrUnsafeTree) {
				t.Fatalf("no kind: %v", err)
			}
			return
		}
		previous := ""
		for _, e := range list {
			if e.name <= previous || !fs.ValidPath(e.name) || strings.ContainsAny(e.name, "/\\\x00\n\x1b") ||
				strings.EqualFold(e.name, ".git") || e.name == "." {
				t.Fatalf("accepted %q after %q", e.name, previous)
			}
			previous = e.name
			if found, ok := findEntry(list, e.name); !ok || found != e {
				t.Fatalf("%q is not found", e.name)
			}
		}
	})
}

// FuzzValidateURL: what is accepted keeps its meaning when it is written and read again, and holds no credential.
func FuzzValidateURL(f *testing.F) {
	for _, s := range []string{"https://h/x", "ssh://git@h:22/x", "http://[::1]/x", "ssh://-o/x", "https://u:p@h/x", "https://h%2f@e/x",
		"https://h/\u202e", "ext::x", "https://h\\@e/x", "https://h/x?y#z", "https://127.1/x", "https://0x7f/x", "ssh://a%40b@h/x", "ssh://a%0ab@h/x", "ssh://h/a'b!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := ValidateURL(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalidURL) {
				t.Fatalf("no kind: %v", err)
			}
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh" {
			t.Fatalf("%q has scheme %q", raw, u.Scheme)
		}
		if u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasPrefix(u.Hostname(), "-") {
			t.Fatalf("%q is accepted", raw)
		}
		if _, secret := u.User.Password(); secret || u.User != nil && u.Scheme != "ssh" {
			t.Fatalf("%q holds credentials", raw)
		}
		if name := u.User.Username(); strings.ContainsAny(name, " \n\x00") || strings.HasPrefix(name, "-") {
			t.Fatalf("%q has user %q", raw, name)
		}
		if isNumber(u.Hostname()) {
			t.Fatalf("%q has a number for a host", raw)
		}
		if said := (Remote{URL: raw}).String(); u.User != nil && strings.Contains(said, "@"+u.Host) {
			t.Fatalf("%q is shown as %q", raw, said)
		}
		again, err := ValidateURL(u.String())
		if err != nil || again.Host != u.Host || again.Path != u.Path || again.Scheme != u.Scheme || again.User.Username() != u.User.Username() {
			t.Fatalf("%q reads as %v, then %v (%v)", raw, u, again, err)
		}
	})
}

// FuzzCleanPath: the result is a valid path of a Tree and stays the same when it is cleaned again.
func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"", ".", "./deploy/", "/deploy", "a/../b", "..", "a//b", "a\\b", "a\x00b", "..a/b.."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		clean, err := CleanPath(p)
		if err != nil {
			return
		}
		again, err := CleanPath(clean)
		if err != nil || again != clean || !fs.ValidPath(clean) {
			t.Fatalf("%q -> %q -> %q (%v)", p, clean, again, err)
		}
	})
}
