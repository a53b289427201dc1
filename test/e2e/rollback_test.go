package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestRollbackWithGitDown(t *testing.T) {
	s := tell(t)
	s.ownGit()
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.retired(first)

	s.git.Stop()
	s.trackUntil("shop", "SourceFetched=False", func(t *v1alpha1.ReleaseTrack) bool {
		return condition(t.Status.Conditions, v1alpha1.SourceFetchedCondition).Reason == v1alpha1.GitUnreachableReason
	})
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, first))
	back := s.live(first)
	s.Expect(back.Status.Run).To(gomega.BeEquivalentTo(2), "a rollback is another run")
	s.Expect(get[corev1.Service](s, "web").Spec.Selector).To(gomega.And(
		gomega.HaveKeyWithValue(v1alpha1.ReleaseLabel, first), gomega.HaveKeyWithValue(v1alpha1.RunLabel, "2")))
	left := s.retired(second)
	s.Expect(left.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomeRolledBack))
	s.Expect(s.leftOf(second)).To(gomega.BeEmpty())
	track := s.trackUntil("shop", "Ready and Pinned", func(t *v1alpha1.ReleaseTrack) bool {
		return isTrue(t.Status.Conditions, v1alpha1.PinnedCondition) && isTrue(t.Status.Conditions, v1alpha1.ReadyCondition)
	})
	s.Expect(track.Status.TargetRelease).To(gomega.Equal(first))

	third := s.commit(shop("3"))
	s.must(s.git.Start())
	waiting := s.reaches(third, v1alpha1.PhasePending)
	fourth := s.commit(shop("4"))
	s.reaches(fourth, v1alpha1.PhasePending)
	s.stays(3*time.Second, func() error {
		for _, name := range []string{third, fourth} {
			if r := s.release(name); r.Status.Phase != v1alpha1.PhasePending || r.Status.Run > 0 {
				return fmt.Errorf("%s is %s", name, r.Status.Phase)
			}
		}
		if active := s.track("shop").Status.ActiveRelease; active != first {
			return fmt.Errorf("%s is active", active)
		}
		return nil
	})
	s.Expect(condition(waiting.Status.Conditions, v1alpha1.ReadyCondition).Reason).To(gomega.Equal(v1alpha1.PinnedReason))
	s.Expect(s.deployments()).To(gomega.HaveLen(1))

	s.patchTrack("shop", `{"spec":{"pin":null}}`)
	s.live(fourth)
	s.reaches(third, v1alpha1.PhaseSkipped)
	s.retired(first)
	checkServed(t, s.ns, "web")
}

func TestRollbackWhileTheOldRunIsStillEnding(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1", pods(terminateAfter, "12s")))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.until(first, "Draining, its workloads deleted", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Phase == v1alpha1.PhaseDraining && r.Status.Replicas.Remaining == 2 && r.Status.Replicas.Ready == 0
	})
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, first))
	back := s.live(first)
	runs := map[string]int{}
	for _, p := range s.podsOf(first) {
		runs[p.Labels[v1alpha1.RunLabel]]++
	}
	s.Expect(runs).To(gomega.Equal(map[string]int{"1": 2, "2": 2}), "the new run serves beside the old one, which is still ending")
	s.Expect(back.Status.ActiveRun).To(gomega.BeEquivalentTo(2))
	s.retired(second)
	s.until(first, "only its new run left", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Replicas.Remaining == 2 })
	s.Expect(s.deployments()).To(gomega.HaveLen(1))
	checkServed(t, s.ns, "web")
}

func TestPinThatCannotBeObeyedChangesNothing(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	one := s.live(first)
	s.patchTrack("shop", `{"spec":{"pin":"shop-0000000000"}}`)
	track := s.trackUntil("shop", "Stalled", func(t *v1alpha1.ReleaseTrack) bool { return isTrue(t.Status.Conditions, v1alpha1.StalledCondition) })
	s.Expect(condition(track.Status.Conditions, v1alpha1.ReadyCondition).Reason).To(gomega.Equal(v1alpha1.InvalidPinReason))
	s.Expect(isTrue(track.Status.Conditions, v1alpha1.PinnedCondition)).To(gomega.BeFalse())
	s.Expect(s.release(first).Status.Run).To(gomega.Equal(one.Status.Run))
	s.patchTrack("shop", `{"spec":{"pin":null}}`)
	s.trackUntil("shop", "Ready", func(t *v1alpha1.ReleaseTrack) bool { return isTrue(t.Status.Conditions, v1alpha1.ReadyCondition) })
}
