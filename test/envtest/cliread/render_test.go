package cliread

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stele-dev/stele/config/crd"
	"github.com/stele-dev/stele/internal/dryrun"
)

// The dry run of the plugin says what the operator's subcommand says, and asks no cluster.
func TestRender(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, ".git"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	track := write("track.yaml", "apiVersion: stele.dev/v1alpha1\nkind: ReleaseTrack\nmetadata: {name: shop}\nspec:\n  serviceAccountName: deployer\n"+
		"  source: {url: https://git.example.eu/shop.git, path: deploy}\n")
	write("good/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n")
	write("bad/a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: \"a\\e[2J\"}\n")
	for name, code := range map[string]int{"good": 0, "bad": 3} {
		for _, format := range []string{"", "json", "yaml"} {
			args := []string{"--path", filepath.Join(folder, name), "--track", track, "-n", "shop"}
			if format != "" {
				args = append(args, "-o", format)
			}
			var want, wrong bytes.Buffer
			operators := dryrun.Command{CRD: crd.ReleaseTrack, Out: &want, Err: &wrong}.Run(args)
			r := steleAs(t, "/nowhere", append([]string{"render"}, args...)...)
			if r.code != code || (operators == 0) != (code == 0) {
				t.Errorf("%s %s: exit code %d, want %d; that of the operator is %d: %s%s", name, format, r.code, code, operators, r.stderr, wrong.String())
			}
			if strings.Join(strings.Fields(r.stdout), " ") != strings.Join(strings.Fields(want.String()), " ") {
				t.Errorf("%s %s: %s\nthe operator says\n%s", name, format, r.stdout, want.String())
			}
			if code != 0 && !strings.Contains(r.stderr, "such a commit would be Rejected") {
				t.Errorf("%s %s: %s", name, format, r.stderr)
			}
		}
	}
	if r := steleAs(t, "/nowhere", "render", "--path", filepath.Join(folder, "good"), "--track", filepath.Join(folder, "none.yaml")); r.code != 1 || !strings.Contains(r.stderr, "none.yaml") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	if r := steleAs(t, "/nowhere", "render", "--path", folder, "--track", track, "--min-gate-images", "Nonsense"); r.code != 1 || !strings.Contains(r.stderr, "--min-gate-images") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
}
