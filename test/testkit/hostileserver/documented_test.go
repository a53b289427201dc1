package hostileserver_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

// docs/hostile-inputs.md names every script, and only tests that there are.
func TestEveryInputIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testkit.Root(), "docs", "hostile-inputs.md"))
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile(`\*([a-z0-9.-]+)\*`).FindAllStringSubmatch(string(page), -1) {
		named = append(named, m[1])
	}
	cases := hostileserver.Of(func(string) map[string]string { return map[string]string{"a": "1"} })
	maps.Copy(cases, hostileserver.HTTP())
	for name := range cases {
		if !slices.ContainsFunc(named, func(n string) bool {
			prefix, many := strings.CutSuffix(n, "...")
			return n == name || many && strings.HasPrefix(name, prefix)
		}) {
			t.Errorf("%s is not on the page", name)
		}
	}
	tests := testNames(t)
	found := 0
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1) {
		found++
		if !tests[m[1]] {
			t.Errorf("there is no test %s", m[1])
		}
	}
	if found < 20 || len(named) < 50 {
		t.Errorf("%d tests and %d scripts on the page", found, len(named))
	}
}

// testNames are the tests of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, folder := range []string{"internal", "controllers", "test"} {
		err := filepath.WalkDir(filepath.Join(testkit.Root(), folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range function.FindAllStringSubmatch(string(text), -1) {
				names[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}
