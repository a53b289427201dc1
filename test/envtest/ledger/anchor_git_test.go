package ledger

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/ledger/writer"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// The same with a Git server: checkpoints are commits of the branch; with the server off entries go on; a branch that was rolled back while
// the writer was away stops it, and goes on when it was put back.
func TestAnchorInGit(t *testing.T) {
	world(t)
	server, err := gitserver.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	repo, err := server.CreateRepo("audit")
	if err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		t.Helper()
		out, err := repo.Git(args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	connector := &gitsource.Connector{Dialer: outbound.New(outbound.Options{AllowLoopback: true})}
	t.Cleanup(connector.Close)
	inGit := func(c writer.AnchorConfig) (anchor.Anchor, error) {
		return anchor.New(anchor.Config{URL: c.Spec.URL, Branch: c.Spec.Branch, Secret: c.Secret, Key: c.Key, FormerKeys: c.FormerKeys, LogKeys: c.LogKeys,
			Connector: connector, Clock: time.Now, Last: c.Last})
	}
	dir := filepath.Join(t.TempDir(), "log")
	w := start(t, dir, options{anchor: inGit})
	until(t, settled(1))
	respec(t, func(s *v1alpha1.AuditLedgerSpec) {
		s.Anchor = &v1alpha1.LedgerAnchor{URL: server.HTTPURL("audit"), Branch: "main", Interval: metav1.Duration{Duration: time.Second}}
	})
	until(t, isAnchored(1))
	put(t, "uid/1/0")
	l := until(t, isAnchored(2))
	if a := l.Status.Anchor; a.URL != server.HTTPURL("audit") || a.Branch != "main" || a.Commit != git("rev-parse", "main") {
		t.Errorf("status %+v, branch %s", a, git("rev-parse", "main"))
	}
	if n := git("rev-list", "--count", "main"); n != "2" {
		t.Errorf("%s commits", n)
	}
	if head := git("show", "main:checkpoint"); !strings.HasPrefix(head, l.Status.Origin+"\n2\n"+l.Status.RootHash) {
		t.Errorf("the branch has %q, the status %+v", head, l.Status)
	}
	git("fsck", "--strict")

	server.Stop()
	put(t, "uid/1/1")
	until(t, func(l *v1alpha1.AuditLedger) error {
		return errors.Join(settled(3)(l), notAnchored(v1alpha1.AnchorFailedReason)(l))
	})
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	good := until(t, isAnchored(3)).Status.Anchor.Commit

	w.stop(t)
	git("update-ref", "refs/heads/main", "main~1")
	w = start(t, dir, options{anchor: inGit})
	put(t, "uid/1/2")
	until(t, func(l *v1alpha1.AuditLedger) error {
		return errors.Join(stalled(v1alpha1.LedgerForkedReason)(l), notAnchored(v1alpha1.LedgerForkedReason)(l))
	})
	git("update-ref", "refs/heads/main", good)
	until(t, isAnchored(4))
	w.stop(t)
}
