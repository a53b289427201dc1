package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/render"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// Rewritten history stalls: nothing that was not built on what runs goes live by itself.
func TestRewrittenHistory(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	commit(t, s.repo, shop("web", "evil"), gitserver.Orphan())
	poke(t, s.ns, "shop")
	s.sourceFails(v1alpha1.GitHistoryRewrittenReason)
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.HistoryRewrittenCondition, metav1.ConditionTrue, v1alpha1.GitHistoryRewrittenReason)
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.GitHistoryRewrittenReason)
	s.othersGoOn()
	s.untouched()
	if got := releasesOf(t, s.ns); len(got) != 2 {
		t.Errorf("%d releases, want that of the first commit and that of the other track", len(got))
	}
	if err := s.repo.Branch("main", s.first); err != nil {
		t.Fatal(err)
	}
	s.live(s.commit(shop("web", "2")))
	if c := conditionOf(t, s.ns, v1alpha1.HistoryRewrittenCondition); c != nil {
		t.Errorf("HistoryRewritten is still there: %v", c)
	}
}

// A change of what shapes releases accepts no rewritten history; and releases of a history that was given up are
// left, also when the new tip is refused.
func TestRewrittenHistoryIsNotAcceptedOtherwise(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	abandoned := s.commit(shop("web", "abandoned"))
	s.live(abandoned)
	tip := commit(t, s.repo, with(shop("web", "tip"), "deploy/web.yaml", "a: ["), gitserver.Parents(s.first))
	poke(t, s.ns, "shop")
	s.sourceFails(v1alpha1.GitHistoryRewrittenReason)
	before := len(releasesOf(t, s.ns))
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Ignore = []v1alpha1.IgnoredKind{{Kind: "Namespace"}} })
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, s.ns, "shop")
		if c := apimeta.FindStatusCondition(track.Status.Conditions, v1alpha1.SourceFetchedCondition); err == nil && (c == nil || c.ObservedGeneration != track.Generation || c.Reason != v1alpha1.GitHistoryRewrittenReason) {
			err = fmt.Errorf("%+v", c)
		}
		return err
	})
	poke(t, s.ns, "shop")
	settled()
	s.sourceFails(v1alpha1.GitHistoryRewrittenReason)
	if n := len(releasesOf(t, s.ns)); n != before {
		t.Errorf("%d releases, there were %d: a change of the spec has accepted the history", n, before)
	}
	updateTrack(t, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Annotations = map[string]string{v1alpha1.AcceptHistoryAnnotation: tip}
	})
	s.rejected(tip, render.ReasonInvalidYAML)
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, s.ns, releaseOf("shop", abandoned))
		if err == nil && rel.Status.Times.Left == nil {
			err = fmt.Errorf("%+v", rel.Status.Times)
		}
		return err
	})
}

// A person accepts the new history by naming its tip: it runs then, its release says so, and the annotation is used once.
func TestRewrittenHistoryIsAccepted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	meant := commit(t, s.repo, shop("web", "meant"), gitserver.Orphan())
	poke(t, s.ns, "shop")
	s.sourceFails(v1alpha1.GitHistoryRewrittenReason)
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.HistoryRewrittenCondition, metav1.ConditionTrue, v1alpha1.GitHistoryRewrittenReason, meant)
	s.untouched()
	updateTrack(t, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Annotations = map[string]string{v1alpha1.AcceptHistoryAnnotation: meant}
	})
	untilLive(t, s.ns, "shop", meant)
	rel := untilPhase(t, s.ns, releaseOf("shop", meant), v1alpha1.PhaseActive)
	if len(rel.Spec.Findings) == 0 || rel.Spec.Findings[0].Reason != v1alpha1.GitHistoryRewrittenReason || rel.Spec.Findings[0].Severity != v1alpha1.SeverityWarning {
		t.Errorf("its findings are %+v", rel.Spec.Findings)
	}
	if c := conditionOf(t, s.ns, v1alpha1.HistoryRewrittenCondition); c != nil {
		t.Errorf("HistoryRewritten is still there: %v", c)
	}
	// The same annotation does not accept the next rewriting, though that is built on what it names.
	s.live(s.commit(shop("web", "4")))
	if err := s.repo.Branch("main", meant); err != nil {
		t.Fatal(err)
	}
	poke(t, s.ns, "shop")
	s.sourceFails(v1alpha1.GitHistoryRewrittenReason)
	// Accepted again, the release that is there already runs again.
	updateTrack(t, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) { delete(track.Annotations, v1alpha1.AcceptHistoryAnnotation) })
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, s.ns, "shop")
		if err == nil && track.Status.LastAcceptedHistory != "" {
			err = fmt.Errorf("annotation %q is remembered", track.Status.LastAcceptedHistory)
		}
		return err
	})
	updateTrack(t, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Annotations = map[string]string{v1alpha1.AcceptHistoryAnnotation: meant}
	})
	untilLive(t, s.ns, "shop", meant)
	if again := untilPhase(t, s.ns, releaseOf("shop", meant), v1alpha1.PhaseActive); again.UID != rel.UID || again.Status.Run != 2 {
		t.Errorf("release %s, run %d: it was made anew", again.Name, again.Status.Run)
	}
}

// With rewrittenHistory: Follow nobody has to accept anything.
func TestRewrittenHistoryIsFollowed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	updateTrack(t, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Spec.Source.RewrittenHistory = v1alpha1.RewrittenHistoryFollow
	})
	commit(t, s.repo, shop("web", "2"), gitserver.Parents(s.first))
	poke(t, s.ns, "shop")
	meant := commit(t, s.repo, shop("web", "3"), gitserver.Orphan())
	poke(t, s.ns, "shop")
	untilLive(t, s.ns, "shop", meant)
}

// A version moves forward: the commits in between have their outcome. It goes back: the release that is there runs again.
func TestVersionsMove(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	repo := newRepo(t, ns)
	tag := func(name, id string) {
		t.Helper()
		if err := repo.Tag(name, id); err != nil {
			t.Fatal(err)
		}
	}
	first := commit(t, repo, shop("web", "1"))
	tag("v1.0.0", first)
	track := newTrack(ns, "shop", ns)
	track.Spec.Source.Ref = v1alpha1.GitRef{SemVer: "1.x"}
	startOperator(t, operatorOptions{}, ns)
	create(t, track)
	untilLive(t, ns, "shop", first)
	between, second := commit(t, repo, shop("web", "2")), commit(t, repo, shop("web", "3"))
	tag("v1.1.0", second)
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	if rel := untilPhase(t, ns, releaseOf("shop", between), v1alpha1.PhaseSkipped); rel.Status.Run != 0 {
		t.Errorf("the commit between two tags has run: %+v", rel.Status)
	}
	if err := repo.DeleteRef("refs/tags/v1.1.0"); err != nil {
		t.Fatal(err)
	}
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", first)
	if rel := untilPhase(t, ns, releaseOf("shop", first), v1alpha1.PhaseActive); rel.Status.Run != 2 {
		t.Errorf("it is run %d of the release that was there", rel.Status.Run)
	}
	if n := len(releasesOf(t, ns)); n != 3 {
		t.Errorf("%d releases of three commits", n)
	}
}

// More commits at once than get a release each: the oldest are counted, and named in the condition, also after a restart.
func TestLargePush(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.History.MinAge.Duration = time.Hour })
	var stream strings.Builder
	for i := range 130 {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter T <t@example.invalid> %d +0000\ndata 0\n", 1_800_000_000+i)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\n", s.first)
		}
		fmt.Fprintf(&stream, "M 100644 inline deploy/notes.yaml\ndata 7\n# %04d\n\n\n", i)
	}
	if err := s.repo.FastImport(stream.String()); err != nil {
		t.Fatal(err)
	}
	list, err := s.repo.Git("rev-list", "--reverse", s.first+"..main")
	if err != nil {
		t.Fatal(err)
	}
	commits := strings.Fields(list)
	poke(t, s.ns, "shop")
	last := commits[len(commits)-1]
	untilPhase(t, s.ns, releaseOf("shop", last), v1alpha1.PhaseSkipped) // a comment changes nothing
	untilPhase(t, s.ns, releaseOf("shop", commits[30]), v1alpha1.PhaseSkipped)
	words := fmt.Sprintf("30 older commits of the last push, %s to %s, were skipped", commits[0][:10], commits[29][:10])
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.SourceFetchedCondition, metav1.ConditionTrue, v1alpha1.SucceededReason, words)
	s.untouched()
	poke(t, s.ns, "shop")
	settled()
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.SourceFetchedCondition, metav1.ConditionTrue, v1alpha1.SucceededReason, words)
}

// The repository gets another address. What is seen there is noted, although no release is made of it, and a force-push is noticed as before.
func TestAnotherAddressOfTheSame(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	url := ""
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		if url = strings.TrimSuffix(spec.Source.URL, ".git"); url == spec.Source.URL {
			url += ".git"
		}
		spec.Source.URL = url
	})
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, s.ns, "shop")
		if err == nil && track.Status.ObservedURL != url {
			err = fmt.Errorf("observed at %q, want %q", track.Status.ObservedURL, url)
		}
		return err
	})
	s.untouched()
	commit(t, s.repo, shop("web", "evil"), gitserver.Orphan())
	poke(t, s.ns, "shop")
	s.sourceFails(v1alpha1.GitHistoryRewrittenReason)
	s.untouched()
}
