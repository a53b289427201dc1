package policy

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of docs/spec/gates.md anew")

// The page lists exactly the gates of the table, in its order.
func TestPageListsTheGates(t *testing.T) {
	const page, begin, end = "../../docs/spec/gates.md", "<!-- gates:begin (go test ./internal/policy -update) -->\n", "<!-- gates:end -->"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no table of gates", page)
	}
	var want strings.Builder
	want.WriteString("| Gate | Asked of | Severity | Reasons | Asks that | What to do |\n|---|---|---|---|---|---|\n")
	for _, g := range Gates() {
		asked := string(g.Stage)
		if g.Stage == NotYet {
			asked = "nothing yet"
		}
		reasons := "none"
		if len(g.Reasons) > 0 {
			reasons = "`" + strings.Join(g.Reasons, "`, `") + "`"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s | %s | %s |\n", g.ID, asked, cmp.Or(string(g.Severity), "By track"), reasons, g.Asks, g.Fix)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(want.String(), table); diff != "" {
		t.Errorf("%s differs from the table; run with -update and review:\n%s", page, diff)
	}
}
