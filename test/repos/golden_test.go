package repos

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

var update = flag.Bool("update", false, "write the golden files of the sample repositories anew")

// atLeast is how many repositories of different make there are: a pattern that finds none must not pass.
const atLeast = 12

// TestGolden shows what each commit of each sample repository comes out as.
func TestGolden(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < atLeast {
		t.Fatalf("only %d sample repositories", len(all))
	}
	for _, r := range all {
		t.Run(r.Name, func(t *testing.T) {
			var wanted []string
			for n := 1; n <= r.Commits; n++ {
				var out bytes.Buffer
				for i := range r.Tracks {
					show(t, &out, r, &r.Tracks[i], n)
				}
				compare(t, r.Golden(n), out.Bytes())
				wanted = append(wanted, r.Golden(n))
			}
			superfluous(t, filepath.Dir(r.Golden(1)), wanted)
		})
	}
}

// TestEveryCommitChangesSomething keeps a commit from being replaced by itself.
func TestEveryCommitChangesSomething(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		was := map[string]string{}
		for n := 1; n <= r.Commits; n++ {
			files, err := r.Files(n)
			if err != nil {
				t.Fatal(err)
			}
			if maps.Equal(files, was) {
				t.Errorf("%s: commit %d is the one before it", r.Name, n)
			}
			was = files
		}
	}
}

// show writes what a track makes of a commit, and checks it against what the stories expect.
func show(t *testing.T, out *bytes.Buffer, r *Repository, track *v1alpha1.ReleaseTrack, n int) {
	t.Helper()
	fmt.Fprintf(out, "# track %s, commit %d\n", track.Name, n)
	expect := r.Expected[track.Name][n-1]
	b, err := build(r, track, n)
	var refused *render.Error
	switch {
	case errors.As(err, &refused):
		if expect.Phase != v1alpha1.PhaseRejected || refused.Problems[0].Reason != expect.Reason {
			t.Errorf("commit %d is refused (%s), and expect.yaml says %s (%s)", n, refused.Problems[0].Reason, expect.Phase, expect.Reason)
		}
		fmt.Fprintf(out, "# refused\n%s\n", refused.Error())
		return
	case err != nil:
		t.Fatal(err)
	case expect.Phase == v1alpha1.PhaseRejected:
		t.Errorf("commit %d is not refused, and expect.yaml says that it is", n)
	case expect.NoRelease:
		before, err := build(r, track, n-1)
		if err != nil || before.Digest != b.Digest {
			t.Errorf("commit %d changes the release (%v), and expect.yaml says that it makes none", n, err)
		}
		fmt.Fprintln(out, "# no release: nothing that the path depends on has changed")
		return
	}
	write(t, out, b, identity(track.Name, n))
}

func build(r *Repository, track *v1alpha1.ReleaseTrack, n int) (*render.Bundle, error) {
	opt := render.OptionsOf(namespace, track.Name, track.Spec.Ignore, track.Spec.NameReferences, track.Spec.Gates)
	return render.Build(r.FS(n), track.Spec.Source.Path, opt)
}

const namespace = "sample"

// identity is the same in every run of the test: commit 1 has the id 1111111111...
func identity(track string, n int) render.Identity {
	commit := strings.Repeat(strconv.Itoa(n), 40)
	return render.Identity{Namespace: namespace, Track: track, Release: release.Name(track, commit), Commit: commit,
		ReleaseUID: "00000000-0000-4000-8000-00000000000" + strconv.Itoa(n), Run: 1}
}

func write(t *testing.T, out *bytes.Buffer, b *render.Bundle, id render.Identity) {
	t.Helper()
	for _, i := range b.Ignored {
		fmt.Fprintf(out, "# left out: %s %s of %s\n", i.Kind, i.Name, i.File)
	}
	stamped, err := b.Stamp(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range stamped.Objects {
		doc, err := yaml.Marshal(o.Object.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(out, "---\n# %s %s: %s, %s%s\n%s", o.Object.GetKind(), o.Source.Object.GetName(), o.Class, when(o), traffic(o), doc)
	}
}

// when says when an object of the release comes into being.
func when(o render.StampedObject) string {
	switch {
	case o.AtSwitch:
		return "created at the switch"
	case o.Class == v1alpha1.ClassRecreate:
		return "created when the old one has gone"
	case o.Class == v1alpha1.ClassInPlace:
		return "applied when all Versioned ones are healthy"
	case o.Class == v1alpha1.ClassStable:
		return "created when staged, changed at the switch"
	}
	return "created when staged"
}

func traffic(o render.StampedObject) string {
	if o.Narrow {
		return ", selects this run only"
	}
	return ""
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update and review:\n%s", name, diff)
	}
}

// superfluous: a golden file of a commit that is no longer there shows what nobody makes any more.
func superfluous(t *testing.T, dir string, wanted []string) {
	t.Helper()
	have, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range have {
		if slices.Contains(wanted, name) {
			continue
		}
		if !*update {
			t.Errorf("%s belongs to no commit; run with -update", name)
			continue
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
