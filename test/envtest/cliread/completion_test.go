package cliread

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/test/testkit"
)

// Shells get the names that there are, with a word on each.
func TestCompletion(t *testing.T) {
	ns := newNamespace(t, "complete")
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	makeTrack(t, ns, "web", runs("web-1111111111"))
	makeRelease(t, ns, "shop", 1, retired)
	makeRelease(t, ns, "shop", 2, active)
	makeRelease(t, ns, "web", 1, active)
	cases := map[string]struct {
		args []string
		want []string
	}{
		"tracks":                 {[]string{"status", "-n", ns, ""}, []string{"shop\tshop-1111111111", "web\tweb-1111111111"}},
		"tracks that begin so":   {[]string{"releases", "-n", ns, "w"}, []string{"web\tweb-1111111111"}},
		"one track is enough":    {[]string{"tree", "-n", ns, "shop", ""}, nil},
		"releases, newest first": {[]string{"show", "-n", ns, "shop"}, []string{"shop-2222222222\tActive 2222222222", "shop-1111111111\tRetired 1111111111"}},
		"another release":        {[]string{"diff", "-n", ns, "shop-2222222222", "shop"}, []string{"shop-1111111111\tRetired 1111111111"}},
		"a commit":               {[]string{"show", "-n", ns, "2222"}, []string{commit("2") + "\tshop-2222222222 Active"}},
		"namespaces":             {[]string{"status", "-n", "compl"}, []string{ns}},
		"formats":                {[]string{"status", "-o", ""}, []string{"wide", "json", "yaml", "name"}},
		"formats of a view":      {[]string{"diff", "--output", ""}, []string{"json", "yaml"}},
		"commands":               {[]string{"rele"}, []string{"releases\tShow the releases of a track, newest first"}},
		"shells":                 {[]string{"completion", "k"}, []string{"kubectl"}},
		"no namespace":           {[]string{"show", "-n", "nowhere", ""}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := stele(t, append([]string{"__complete"}, tc.args...)...)
			var got []string
			for line := range strings.Lines(r.stdout) {
				if !strings.HasPrefix(line, ":") {
					got = append(got, strings.TrimSuffix(line, "\n"))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || r.code != 0 {
				t.Errorf("exit code %d (-want +got):\n%s", r.code, diff)
			}
		})
	}
	if r := steleAs(t, "/nowhere", "__complete", "status", ""); r.code != 0 || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("without a cluster: exit code %d, %s", r.code, r.stdout)
	}
}

// kubectl finds the plugin, and asks its helper for completions.
func TestUnderKubectl(t *testing.T) {
	ns := newNamespace(t, "kubectl")
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	helper := exactly(t, "completion", "kubectl")
	file := filepath.Join(filepath.Dir(suite.plugin), "kubectl_complete-stele")
	if err := os.WriteFile(file, []byte(helper), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	kubectl := func(args ...string) string {
		cmd := command(t.Context(), suite.admin)
		cmd.Path = filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
		cmd.Args = append([]string{"kubectl"}, args...)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("kubectl %v: %v", args, err)
		}
		return string(out)
	}
	if out := kubectl("stele", "status", "-n", ns); !strings.Contains(out, "shop-1111111111") {
		t.Errorf("got %s", out)
	}
	if out := kubectl("stele"); !strings.Contains(out, "Usage:\n  kubectl stele COMMAND\n") || strings.Contains(out, "kubectl-stele") {
		t.Errorf("got %s", out)
	}
	if out := kubectl("__complete", "stele", "status", "-n", ns, ""); !strings.Contains(out, "shop\t") {
		t.Errorf("kubectl completes %s", out)
	}
	// Alone, it says so.
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "kubectl-stele releases --help")
	cmd.Env = command(t.Context(), suite.admin).Env
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "Usage:\n  kubectl-stele releases TRACK") || strings.Contains(string(out), "kubectl stele") {
		t.Errorf("alone: %v\n%s", err, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := exactly(t, "completion", shell); !strings.Contains(out, "kubectl-stele") {
			t.Errorf("no script for %s", shell)
		}
	}
	shipped, err := os.ReadFile(filepath.Join(testkit.Root(), "cmd", "kubectl-stele", "kubectl_complete-stele"))
	if err != nil || string(shipped) != helper {
		t.Errorf("the helper that is shipped is another one: %v", err)
	}
}

// The help is short, and grouped by what people want.
func TestHelp(t *testing.T) {
	none := exactly(t)
	if help := exactly(t, "--help"); help != none {
		t.Errorf("without arguments it says something else than with --help:\n%s", none)
	}
	for _, words := range []string{"\nSee:\n  ", "\nOther:\n", "\n  status ", "--context", "kubectl stele options"} {
		if !strings.Contains(none, words) {
			t.Errorf("no %q in\n%s", words, none)
		}
	}
	if strings.Contains(none, "--tls-server-name") || !strings.Contains(exactly(t, "options"), "--tls-server-name") {
		t.Errorf("flags that few people want:\n%s", none)
	}
	for line := range strings.Lines(none) {
		if len(line) > 150 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	golden(t, "help-status", exactly(t, "status", "-h"))
	if out := exactly(t, "--version"); !strings.Contains(out, "kubectl stele version dev") {
		t.Errorf("got %s", out)
	}
}
