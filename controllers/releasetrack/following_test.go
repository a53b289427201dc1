package releasetrack

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// unsigned is a world in which nobody asks for signatures.
func unsigned(t *testing.T) *signedWorld {
	w := newSignedWorld(t, head())
	w.track.Spec.Source.Verify = nil
	return w
}

// scope is what a reconcile sees now.
func (w *signedWorld) scope() *scope {
	s := newScopeOf(w.track, slices.Collect(maps.Values(releasesIn(w.T, w.r.Client)))...)
	s.memory = w.memory.of(client.ObjectKeyFromObject(w.track), w.track.UID)
	return s
}

// ask looks as a reconcile asks, without taking in what is found.
func (w *signedWorld) ask(s *scope) (*look, error) {
	w.Helper()
	req := w.r.request(s)
	if err := w.r.readCredentials(w.Context(), s, &req); err != nil {
		w.Fatal(err)
	}
	req.fresh = true
	found, err := w.r.Git.look(w.Context(), req)
	return &look{request: req, found: found, err: err}, err
}

// A look that began where status never got to, because a write has failed, must not move status beyond commits that it knows nothing of.
func TestStatusThatWasNotWritten(t *testing.T) {
	w := unsigned(t)
	w.commit(nil)
	w.look()
	before := *w.track.Status.DeepCopy()

	second := w.commit(nil)
	w.look()
	next, err := w.ask(w.scope()) // the same reconcile begins the next look, and then cannot write status
	if err != nil {
		t.Fatal(err)
	}
	w.track.Status = *before.DeepCopy()
	if _, err := w.repo.Commit(map[string]string{"README.md": "x"}); err != nil {
		t.Fatal(err)
	}
	if next, err = w.ask(&scope{track: func() *v1alpha1.ReleaseTrack {
		track := w.track.DeepCopy()
		track.Status.ObservedRevision, track.Status.HeadRelease = next.found.revision.String(), "shop-"+second[:10]
		return track
	}(), releases: w.scope().releases, memory: w.scope().memory}); err != nil || len(next.found.commits) != 0 {
		t.Fatalf("%+v, %v", next.found, err)
	}
	if err := w.r.ingest(t.Context(), w.scope(), next); err != nil {
		t.Fatal(err)
	}
	if w.track.Status.ObservedRevision != before.ObservedRevision {
		t.Errorf("observed is %s, though the head is %s", w.track.Status.ObservedRevision, w.track.Status.HeadRelease)
	}
	w.look()
	if want := "shop-" + second[:10]; w.track.Status.HeadRelease != want {
		t.Errorf("the head is %s, want %s: the commit is lost", w.track.Status.HeadRelease, want)
	}
}

// A change of what shapes releases, or a head that was deleted, is no way around the acceptance of a rewritten history.
func TestRewrittenHistoryAfterAChange(t *testing.T) {
	for name, change := range map[string]func(w *signedWorld){
		"gates": func(w *signedWorld) { w.track.Spec.Gates.Hardening = v1alpha1.GateEnforce },
		"ignore": func(w *signedWorld) {
			w.track.Spec.Ignore = []v1alpha1.IgnoredKind{{Kind: "Namespace"}}
		},
		"path": func(w *signedWorld) { w.track.Spec.Source.Path = "./" },
		"head": func(w *signedWorld) {
			rel := w.scope().releases[w.track.Status.HeadRelease]
			rel.Finalizers = nil
			if err := errors.Join(w.r.Client.Update(w.Context(), rel), w.r.Client.Delete(w.Context(), rel)); err != nil {
				w.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := unsigned(t)
			w.commit(nil)
			w.look()
			w.commit(nil)
			w.look()
			evil := w.commit(nil, gitserver.Orphan())
			if _, err := w.ask(w.scope()); !errors.Is(err, gitsource.ErrNotAncestor) {
				t.Fatalf("%v", err)
			}
			change(w)
			if _, err := w.ask(w.scope()); !errors.Is(err, gitsource.ErrNotAncestor) || sourceReason(err) != v1alpha1.GitHistoryRewrittenReason {
				t.Fatalf("after a change of the %s it is followed: %v", name, err)
			}
			w.track.Annotations = map[string]string{v1alpha1.AcceptHistoryAnnotation: evil}
			w.look()
			if head := w.scope().releases[w.track.Status.HeadRelease]; head == nil || head.Spec.Source.Commit != evil || w.track.Status.LastAcceptedHistory != evil {
				t.Errorf("accepted, the head is %v, and the annotation that was used %q", w.track.Status.HeadRelease, w.track.Status.LastAcceptedHistory)
			}
		})
	}
	t.Run("another repository", func(t *testing.T) {
		w := unsigned(t)
		w.commit(nil)
		w.look()
		w.commit(nil, gitserver.Orphan())
		w.track.Status.ObservedURL = "https://git.example/another.git"
		w.look()
	})
}

// What was released of a history that was given up runs no more, though the new tip is refused. What both histories have may.
func TestLeftByRewriting(t *testing.T) {
	for name, change := range map[string]func(w *signedWorld){
		"Follow": func(w *signedWorld) { w.track.Spec.Source.RewrittenHistory = v1alpha1.RewrittenHistoryFollow },
		"a jump": func(w *signedWorld) { w.track.Spec.Source.Ref = v1alpha1.GitRef{Name: "refs/heads/main"} },
		"the cache was lost": func(w *signedWorld) {
			w.track.Spec.Source.RewrittenHistory = v1alpha1.RewrittenHistoryFollow
			store, err := gitsource.NewStore(w.TempDir(), gitsource.WithDialer(onLoopback()))
			if err != nil {
				w.Fatal(err)
			}
			w.r.Git = NewFollower(store, w.r.Clock, 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := unsigned(t)
			base := w.commit(nil)
			w.look()
			abandoned := w.commit(nil)
			w.look()
			change(w)
			tip := w.commit(nil, gitserver.Parents(base))
			s := w.scope()
			l, err := w.ask(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.r.ingest(t.Context(), s, l); err != nil {
				t.Fatal(err)
			}
			left := func(commit string) bool { return s.releases["shop-"+commit[:10]].Status.Times.Left != nil }
			if left(abandoned) != (name != "a jump") || left(tip) || name != "the cache was lost" && left(base) {
				t.Errorf("left: abandoned %v, tip %v, base %v", left(abandoned), left(tip), left(base))
			}
			if err := w.repo.Branch("main", abandoned); err != nil {
				t.Fatal(err)
			}
			w.track.Spec.Source.RewrittenHistory = v1alpha1.RewrittenHistoryFollow
			if l, err = w.ask(s); err == nil {
				err = w.r.ingest(t.Context(), s, l)
			}
			if err != nil || left(abandoned) || !left(tip) {
				t.Errorf("brought back, left: abandoned %v, tip %v", left(abandoned), left(tip))
			}
		})
	}
}

// A look that is of no use is made again at once, and afresh.
func TestAgain(t *testing.T) {
	f, _ := newFollower(t, 1)
	f.start(t.Context(), ask(shopKey, "a"))
	nextEvent(t, f)
	f.take(shopKey)
	f.again(shopKey)
	if now, _ := due(f, "a"); !now || !f.tracks[shopKey].fresh {
		t.Error("it is not")
	}
}

// An annotation that names something else than a commit accepts nothing, and harms neither the look nor the cache.
func TestAcceptanceOfSomethingElse(t *testing.T) {
	p := newPast(t)
	base := p.commit("base")
	old := p.commit("old")
	out, err := p.look()
	p.finds(out, err, old)
	tree, err := p.repo.Git("rev-parse", base+"^{tree}")
	if err != nil {
		t.Fatal(err)
	}
	out, err = p.look(accepting(strings.TrimSpace(tree)))
	p.finds(out, err)
	next := p.commit("next")
	out, err = p.look(accepting(strings.TrimSpace(tree)))
	p.finds(out, err, next)
	p.commit("rewritten", gitserver.Parents(base))
	if _, err := p.look(accepting(strings.TrimSpace(tree))); !errors.Is(err, gitsource.ErrNotAncestor) || sourceReason(err) != v1alpha1.GitHistoryRewrittenReason {
		t.Errorf("%v", err)
	}
}

// A cache that was lost does not make commits answer for a history that was accepted long ago.
func TestAncestorsAfterTheCacheWasLost(t *testing.T) {
	pgp := newPGP(t)
	for _, lost := range []bool{false, true} {
		w := newSignedWorld(t, required(), pgp)
		w.track.Spec.Source.Ref = v1alpha1.GitRef{SemVer: ">=1"}
		w.commit(nil) // before the first release nothing but the commit itself is looked at
		trunk := w.commit(pgp)
		w.lightweight("v1.0.0", trunk)
		w.judged(trunk, "")
		side := w.commit(pgp, gitserver.OnBranch("release-1"), gitserver.Parents(trunk))
		w.lightweight("v1.1.0", side)
		w.judged(side, "")
		if lost {
			store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()))
			if err != nil {
				t.Fatal(err)
			}
			w.r.Git = NewFollower(store, w.r.Clock, 2)
		}
		next := w.commit(pgp)
		w.lightweight("v2.0.0", next)
		w.judged(next, "")
	}
	// One that nobody has any more takes nothing away.
	w := newSignedWorld(t, required(), pgp)
	w.commit(nil)
	w.judged(w.commit(pgp), "")
	gone := w.scope().releases[w.track.Status.HeadRelease]
	gone.Spec.Source.Commit = commitID("9")
	if err := w.r.Client.Update(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	w.judged(w.commit(pgp), v1alpha1.AncestorNotVerifiedReason)
}
