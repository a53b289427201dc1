package entry_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// docs/spec/auditledger.md says of every kind when it is written.
func TestKindsAreDocumented(t *testing.T) {
	code, err := os.ReadFile("kind.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/spec/auditledger.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`(?m)^\t(\w+) +Kind = "(\w+)"$`).FindAllStringSubmatch(string(code), -1)
	if len(kinds) < 25 {
		t.Fatalf("only %d kinds", len(kinds))
	}
	for _, kind := range kinds {
		if row := regexp.MustCompile("(?m)^\\| [^|]*`" + kind[2] + "`"); !row.Match(page) {
			t.Errorf("%s has no row", kind[2])
		}
		if strings.HasSuffix(kind[2], "Intended") != (len(outcomes(kind[2])) > 0) {
			t.Errorf("%s: kinds that end in Intended have outcomes, and no others", kind[2])
		}
	}
}

func outcomes(kind string) []entry.Kind { return entry.Kind(kind).Outcomes() }
