package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

const (
	namespace = "shop"
	track     = "shop"
	// pace bounds one step. Steps take seconds; a busy machine may need longer.
	pace = 90 * time.Second
)

// story is what the parts of the demo share.
type story struct {
	t       *teller
	files   files
	cluster *testkit.Cluster
	url     string
	// ledger is where the audit log is read.
	ledger string
	// rolledBack is a moment at which commit 1 was back.
	rolledBack time.Time
	// releases are the names of the releases of commits 1 to 3.
	releases [3]string
}

// tellStory starts afresh and tells every part; the first that fails ends it.
func tellStory(ctx context.Context, f files, b binaries, out io.Writer) error {
	began := time.Now()
	s := &story{t: &teller{out: out}, files: f}
	parts := []struct {
		name string
		tell func(context.Context) error
	}{
		{"the stage is set", func(ctx context.Context) error { return s.setUp(ctx, b) }},
		{"commit 1 goes live", s.commitOne},
		{"commit 2 replaces it", s.commitTwo},
		{"nobody changes it by hand", s.refuse},
		{"commit 3 never gets healthy", s.commitThree},
		{"rollback while Git is down", s.rollBack},
		{"the pin is removed", s.unpin},
		{"what happened is proved", s.prove},
	}
	for _, p := range parts {
		if err := p.tell(ctx); err != nil {
			if ctx.Err() != nil {
				err = errors.New("interrupted")
			}
			return s.failed(p.name, err)
		}
	}
	s.farewell(time.Since(began))
	return nil
}

// failed says where to look. What runs is left running, for that.
func (s *story) failed(part string, err error) error {
	return fmt.Errorf("%s: %w\n\nEverything is left as it is, to be looked at:\n"+
		"  export KUBECONFIG=%s\n  operator    %s\n  audit log   %s\n  Git server  %s\n  cluster     %s\nStop it with: make demo-down",
		part, err, s.files.kubeconfig(), s.files.operatorLog(), s.files.ledgerLog(), s.files.gitLog(), filepath.Join(s.files.cluster, "logs"))
}

// commitFiles writes files into the clone, commits and pushes them, and returns the name of the release to come.
func (s *story) commitFiles(ctx context.Context, message string, change func(dir string) error) (string, error) {
	dir := s.files.clone()
	if err := change(dir); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"add", "--all"}, {"commit", "--quiet", "--message", message}, {"push", "--quiet", "origin", "HEAD:main"}} {
		if _, err := git(ctx, dir, args...); err != nil {
			return "", err
		}
	}
	commit, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	return track + "-" + commit[:10], nil
}

// copyShop writes the sample into the clone.
func (s *story) copyShop(dir string) error { return os.CopyFS(dir, os.DirFS(s.sample())) }

func (s *story) sample() string { return filepath.Join(s.files.root, "hack", "demo", "shop") }

// edit replaces a text in a file of the shop.
type edit struct{ file, old, text string }

// What the commits change. In commit 3, the fake kubelet is told to let the pods crash.
var (
	springSale = []edit{{"deploy/web.yaml", "web:1.0.0", "web:1.1.0"}, {"deploy/config.yaml", "Welcome", "Spring sale"}}
	summerSale = []edit{{"deploy/web.yaml", "web:1.1.0", "web:1.2.0"}, {"deploy/web.yaml", "ready-after: 2s", "behaviour: crash"}}
	mended     = []edit{{"deploy/web.yaml", "behaviour: crash", "ready-after: 2s"}}
)

// command is what a user would type for it beside a clone called shop. None of the texts holds a character that sed or a shell
// would read otherwise.
func (e edit) command() string {
	return fmt.Sprintf("sed -i 's/%s/%s/' shop/%s", e.old, e.text, e.file)
}

// applyEdits changes the clone; text that is not there is an error.
func applyEdits(dir string, edits []edit) error {
	for _, e := range edits {
		path := filepath.Join(dir, e.file)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.Contains(string(data), e.old) {
			return &fs.PathError{Op: "edit", Path: e.file, Err: fmt.Errorf("%q is not in it", e.old)}
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(data), e.old, e.text)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) tellEdits(edits []edit) {
	for _, e := range edits {
		s.t.command("%s", e.command())
	}
}

// pushed is what a user would type to commit everything in a clone called shop, and to push it.
func pushed(message string) string {
	return fmt.Sprintf("git -C shop add . && git -C shop commit -m '%s' && git -C shop push origin HEAD:main", message)
}

// show runs kubectl and tells command and output.
func (s *story) show(ctx context.Context, args ...string) error {
	s.t.command("kubectl %s", quoted(args))
	out, err := s.cluster.Kubectl(ctx, args...)
	s.t.output(out)
	return err
}

// refused runs kubectl, which must be refused by an admission policy, and tells command and answer.
func (s *story) refused(ctx context.Context, args ...string) error {
	s.t.command("kubectl %s", quoted(args))
	out, err := s.cluster.Kubectl(ctx, args...)
	switch {
	case err == nil:
		return fmt.Errorf("kubectl %s was not refused: %s", quoted(args), out)
	case !strings.Contains(err.Error(), "stele-"):
		return fmt.Errorf("not refused by a policy of Stele: %w", err)
	}
	_, said, _ := strings.Cut(err.Error(), "exit status 1: ")
	s.t.output(wrap(said))
	return nil
}

// quoted writes arguments so that a shell takes them apart in the same way.
func quoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; a == "" || strings.ContainsAny(a, " '\"\\{}[]()$&|;<>*?!#~`") {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

func (s *story) release(ctx context.Context, name string) (*v1alpha1.ImmutableRelease, error) {
	rel := &v1alpha1.ImmutableRelease{}
	err := s.cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, rel)
	return rel, err
}

// reached is done when each release is in its phase. Its error says how far they are.
func (s *story) reached(want map[string]v1alpha1.ReleasePhase) func(context.Context) error {
	return func(ctx context.Context) error {
		for name, phase := range want {
			rel, err := s.release(ctx, name)
			if err != nil {
				return err
			}
			if rel.Status.Phase != phase {
				return fmt.Errorf("release %s is %s instead of %s: %s", name, rel.Status.Phase, phase, message(rel.Status.Conditions, v1alpha1.ReadyCondition))
			}
		}
		return nil
	}
}

func message(conditions []metav1.Condition, kind string) string {
	if c := meta.FindStatusCondition(conditions, kind); c != nil {
		return c.Message
	}
	return ""
}

// farewell says how to go on and how to stop.
func (s *story) farewell(took time.Duration) {
	s.t.heading("That was it (%s)", seconds(took))
	s.t.say("Everything keeps running: cluster, Git server, operator and the writer of the audit log. To go on, take the bug of commit 3 out, in a clone of your own:")
	s.t.print(fmt.Sprintf(`
  cd %s
  export KUBECONFIG=%s
  export PATH="%s:$PATH"    # has kubectl and its plugin
  git clone %s shop
  %s
  %s
  kubectl stele -n %s status --watch
  kubectl stele -n %s releases %s
  kubectl stele -n %s tree %s
  kubectl stele audit show --ledger %s --key %s

The operator writes to %s.
Stop everything with: make demo-down
`, s.files.root, s.files.kubeconfig(), s.files.path(), s.url, mended[0].command(), pushed("Summer sale, mended"), namespace, namespace, track,
		namespace, track, s.ledger, s.short(s.files.in(keyFile)), s.files.operatorLog()))
}
