package envtest

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
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
