package anchor_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// What auditors are told to do (docs/anchor.md): the fetch into a clone brings what is new, and fails on history that was rewritten.
func TestAuditorsClone(t *testing.T) {
	run := func(dir string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"}
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	for name, rewrite := range map[string]func(*gitserver.Repo) error{
		"rolled back": func(r *gitserver.Repo) error { return r.Branch("main", git(t, r, "rev-parse", "main~1")) },
		"deleted":     func(r *gitserver.Repo) error { return r.DeleteRef("refs/heads/main") },
		"replaced": func(r *gitserver.Repo) error {
			_, err := r.Commit(map[string]string{"a": "1"}, gitserver.Orphan())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, l := start(t), newLedger(t)
			repo := create(t, server, "anchor")
			url := server.HTTPURL("anchor")
			g := l.anchor(url, nil)
			latest(t, g)
			push(t, g, l.checkpoint(1))
			parent := t.TempDir()
			if out, err := run(parent, "clone", "--quiet", "--bare", url, "anchor.git"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			clone := filepath.Join(parent, "anchor.git")
			last := push(t, g, l.checkpoint(2))
			if out, err := run(clone, "fetch", "origin", "main:main"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			ok(t, rewrite(repo))
			if out, err := run(clone, "fetch", "origin", "main:main"); err == nil {
				t.Errorf("rewritten history was taken over: %s", out)
			}
			if head, err := run(clone, "rev-parse", "main"); err != nil || head != last.Commit {
				t.Errorf("the clone is at %s, %v; it had %s", head, err, last.Commit)
			}
		})
	}
}
