package wire

import (
	"bufio"
	"strings"
	"testing"
)

// FuzzReport: whatever a server reports about a push, it is believed only if it says that the pack and this very ref are well.
func FuzzReport(f *testing.F) {
	const ref = "refs/heads/main"
	good := "000eunpack ok\n0017ok refs/heads/main\n0000"
	for _, s := range []string{good, "", "0000", "000eunpack ok\n0000", "0017ok refs/heads/main\n0000", "000eunpack ok\n0019ng refs/heads/main no\n0000", "000eunpack ok\n0018ok refs/heads/other\n0000",
		"0010unpack fail\n", "000eunpack ok\n000coption x\n" + good, "ffff", "0004", "zzzz", "000eERR sorry"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		why, err := readReport(bufio.NewReader(strings.NewReader(text)), ref)
		if why == "" && err == nil && (!strings.Contains(text, "unpack ok") || !strings.Contains(text, "ok "+ref)) {
			t.Fatalf("%q is a success", text)
		}
	})
}
