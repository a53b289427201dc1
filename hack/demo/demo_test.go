package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/render"
)

// TestSampleShopRenders: the story's commits must be good, whatever the renderer learns to refuse.
func TestSampleShopRenders(t *testing.T) {
	bundle, err := render.Build(os.DirFS("shop"), "deploy", render.Options{Namespace: namespace, Track: track,
		Gates: v1alpha1.Gates{Hardening: v1alpha1.GateEnforce}})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, o := range bundle.Objects {
		kinds[o.Object.GetKind()]++
	}
	for kind, want := range map[string]int{"Deployment": 2, "Service": 2, "ConfigMap": 1, "Secret": 1, "HorizontalPodAutoscaler": 1,
		"PodDisruptionBudget": 1, "ServiceAccount": 1} {
		if kinds[kind] != want {
			t.Errorf("%d of kind %s instead of %d", kinds[kind], kind, want)
		}
	}
}

func TestEditRefusesWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	if err := os.WriteFile(file, []byte("web:1.0.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := applyEdits(dir, []edit{{"a", "web:1.0.0", "web:1.1.0"}}); err != nil {
		t.Fatal(err)
	}
	if data, _ := fs.ReadFile(os.DirFS(dir), "a"); string(data) != "web:1.1.0" {
		t.Errorf("the file holds %q", data)
	}
	if err := applyEdits(dir, []edit{{"a", "web:1.0.0", "web:1.2.0"}}); err == nil {
		t.Error("an edit that changes nothing is no error")
	}
}

// TestEditsAreWhatIsPrinted: who types what the story prints gets the commits of the story.
func TestEditsAreWhatIsPrinted(t *testing.T) {
	told, typed := t.TempDir(), t.TempDir()
	for _, dir := range []string{told, filepath.Join(typed, "shop")} {
		if err := os.CopyFS(dir, os.DirFS("shop")); err != nil {
			t.Fatal(err)
		}
	}
	for _, edits := range [][]edit{springSale, summerSale, mended} {
		if err := applyEdits(told, edits); err != nil {
			t.Fatal(err)
		}
		for _, e := range edits {
			cmd := exec.CommandContext(t.Context(), "sh", "-c", e.command())
			cmd.Dir = typed
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", e.command(), err, out)
			}
		}
		for _, e := range edits {
			want, err := os.ReadFile(filepath.Join(told, e.file))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(typed, "shop", e.file)); err != nil || string(got) != string(want) {
				t.Errorf("%s holds\n%s\ninstead of\n%s", e.file, got, want)
			}
		}
	}
}

func TestSplitRow(t *testing.T) {
	cases := map[string]struct{ line, name, content string }{
		"row":      {"shop-1   shop   Active   5   3s", "shop-1", "shop-1   shop   Active   5"},
		"blanks":   {"shop-1   shop                3s  ", "shop-1", "shop-1   shop"},
		"one word": {"shop-1", "shop-1", ""},
		"empty":    {"", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if gotName, gotContent := splitRow(tc.line); gotName != tc.name || gotContent != tc.content {
				t.Errorf("got %q, %q", gotName, gotContent)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	text := strings.Repeat("word ", 50) + strings.Repeat("x", 150)
	for _, line := range strings.Split(wrap(text), "\n") {
		if len(line) > width && strings.Contains(line, " ") {
			t.Errorf("too wide: %q", line)
		}
	}
}

func TestHanging(t *testing.T) {
	long := "   2s  " + strings.Repeat("word ", 40) + strings.Repeat("x", 150)
	for i, line := range strings.Split(hanging(long), "\n") {
		if begin := []string{"   2s  word", "       "}[min(i, 1)]; !strings.HasPrefix(line, begin) || len(line) > width && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("too wide, or not below its beginning: %q", line)
		}
	}
	for _, short := range []string{"", "   ", "NAME   STATUS", strings.Repeat(" ", 300)} {
		if got := hanging(short); got != short {
			t.Errorf("%q became %q", short, got)
		}
	}
}

func TestForgeKeepsTheLengthAndRefusesNothing(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(from, []byte("shop-1 shop-1 shop-2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := forge(from, to, "shop-1", "shop-3"); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(to); string(data) != "shop-3 shop-3 shop-2" {
		t.Errorf("the forged file holds %q", data)
	}
	for _, c := range [][2]string{{"shop-9", "shop-1"}, {"shop-1", "shop-10"}} {
		if err := forge(from, to, c[0], c[1]); err == nil {
			t.Errorf("%s was made %s", c[0], c[1])
		}
	}
}

func TestQuotedIsUnderstoodByAShell(t *testing.T) {
	args := []string{"-n", "shop", `{"spec":{"pin":null}}`, "it's", `a\.b`, "", "a b"}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s|' "+quoted(args)).Output()
	if want := strings.Join(args, "|") + "|"; err != nil || string(out) != want {
		t.Errorf("the shell read %q instead of %q, %v", out, want, err)
	}
}

func TestProcessIsStoppedAndNoOther(t *testing.T) {
	f := files{state: t.TempDir()}
	p, err := launch(f, "sleeper", filepath.Join(f.state, "log"), nil, "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	read, ok, err := recorded(f, "sleeper")
	if err != nil || !ok || read != p || !read.alive() {
		t.Fatalf("the pid file says %+v, %v, %v; started was %+v", read, ok, err, p)
	}
	stranger := process{PID: p.PID, Start: p.Start + "0"}
	if stranger.alive() {
		t.Error("a process with the pid and another start time counts as the same")
	}
	if err := stranger.signal(syscall.SIGKILL); err != nil || !p.alive() {
		t.Fatalf("a stranger's signal reached the process: %v", err)
	}
	if err := p.stop(5 * time.Second); err != nil || p.alive() {
		t.Errorf("it was not stopped: %v", err)
	}
	if _, ok, err := recorded(f, "nobody"); ok || err != nil {
		t.Errorf("a missing pid file reads as %v, %v", ok, err)
	}
}

func TestParseStat(t *testing.T) {
	const tail = " S 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 98765 1000 2000"
	for _, name := range []string{"(demo)", "(a) b (c)"} {
		if state, ticks, ok := parseStat("42 " + name + tail); !ok || state != "S" || ticks != "98765" {
			t.Errorf("%s: %q, %q, %v", name, state, ticks, ok)
		}
	}
	if _, _, ok := parseStat("42 (demo) S 1"); ok {
		t.Error("a line that is cut short is no error")
	}
}
