package gitsource

import (
	"strings"
	"testing"
)

// Names as ssh compares them; the test of whole lines is TestKnownHosts.
func TestMatchesHost(t *testing.T) {
	for _, tc := range []struct {
		patterns, host, port string
		want                 bool
	}{
		{"git.example.eu", "git.example.eu", "", true},
		{"git.example.eu", "git.example.eu", "22", true},
		{"git.example.eu", "GIT.example.EU", "", true},
		{"Git.Example.eu", "git.example.eu", "", true},
		{"git.example.eu", "git.example.eu", "2222", false},
		{"[git.example.eu]:2222", "git.example.eu", "2222", true},
		{"[git.example.eu]:22", "git.example.eu", "", true},
		{"[git.example.eu]:2222", "git.example.eu", "", false},
		{"*.example.eu", "git.example.eu", "", true},
		{"*.example.eu", "git.example.eu.evil.test", "", false},
		{"*.example.eu", "example.eu", "", false},
		{"git?.example.eu", "git1.example.eu", "", true},
		{"git?.example.eu", "git.example.eu", "", false},
		{"*.example.eu,!evil.example.eu", "evil.example.eu", "", false},
		{"*.example.eu,!evil.example.eu", "good.example.eu", "", true},
		{"!evil.example.eu", "good.example.eu", "", false},
		{"2001:db8::1", "2001:db8::1", "", true},
		{"[2001:db8::1]:2222", "2001:db8::1", "2222", true},
		{"2001:db8::1", "2001:db8::1", "2222", false},
		{"", "git.example.eu", "", false},
		{"*", "anything", "2222", true},
		{strings.Repeat("*a", 40) + "b", strings.Repeat("a", 200), "", false}, // takes no time
	} {
		if got := matchesHost(strings.Split(tc.patterns, ","), hostAndPort(tc.host, tc.port)); got != tc.want {
			t.Errorf("%q for %s port %q: %t", tc.patterns, tc.host, tc.port, got)
		}
	}
}
