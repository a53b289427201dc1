// Package architecture keeps the arrows between packages pointing one way:
// main -> controllers -> internal (I/O) -> internal (pure) -> api.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/stele-dev/stele/"

// pure packages take values and return values.
var pure = []string{"internal/breakglass", "internal/drift", "internal/gitsource/signature", "internal/ledger/actors/payload", "internal/ledger/asof", "internal/ledger/entry",
	"internal/ledger/evidence", "internal/ledger/record", "internal/policy", "internal/protection", "internal/release", "internal/webhook"}

// allowedToPure only parses.
const allowedToPure = "net/url"

// forbiddenToPure are ways to reach a cluster, a network or a disk.
var forbiddenToPure = []string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go", "net", "net/http", "os", "os/exec", "math/rand", "math/rand/v2"}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

func TestPurePackagesReachNothing(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		if !slices.Contains(pure, strings.TrimPrefix(p.ImportPath, module)) {
			continue
		}
		seen++
		for _, i := range p.Imports {
			for _, bad := range forbiddenToPure {
				if i != allowedToPure && (i == bad || strings.HasPrefix(i, bad+"/")) {
					t.Errorf("%s is pure and imports %s", p.ImportPath, i)
				}
			}
		}
	}
	if seen != len(pure) {
		t.Errorf("%d of %d pure packages exist", seen, len(pure))
	}
}

func TestArrowsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, i := range p.Imports {
			to, ours := strings.CutPrefix(i, module)
			switch {
			case !ours:
				if strings.HasPrefix(from, "api/") && strings.Contains(i, ".") && !strings.HasPrefix(i, "k8s.io/apimachinery/") {
					t.Errorf("%s imports %s: the API is cheap to import, apimachinery only", from, i)
				}
			case strings.HasPrefix(from, "api/"):
				t.Errorf("%s imports %s: the API imports nothing of ours", from, to)
			case strings.HasPrefix(from, "internal/") && strings.HasPrefix(to, "controllers/"),
				strings.HasPrefix(from, "controllers/") && strings.HasPrefix(to, "controllers/"),
				!strings.HasPrefix(from, "test/") && !strings.HasPrefix(from, "hack/") && (strings.HasPrefix(to, "test/") || strings.HasPrefix(to, "hack/")):
				t.Errorf("%s imports %s: arrows go main -> controllers -> internal -> api", from, to)
			}
		}
	}
}

func TestPurePackagesReadNoClock(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "git", append(append([]string{"grep", "-nE", `time\.(Now|Since|Until|After|Sleep)\(`, "--"}, pure...), ":!*_test.go")...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("git grep: %v", err)
	}
	if len(out) > 0 {
		t.Errorf("pure packages take the time as a value:\n%s", out)
	}
}
