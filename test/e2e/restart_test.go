package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestRestartIsANewRun(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	was := uids(s.podsOf(first))
	s.kubectl("annotate", "rtrack", "shop", v1alpha1.RestartAnnotation+"=monday")
	s.until(first, "its second run alone", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.ActiveRun == 2 && r.Status.Replicas.Remaining == 2 && isTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})
	for _, uid := range uids(s.podsOf(first)) {
		s.Expect(was).NotTo(gomega.ContainElement(uid))
	}
	s.trackUntil("shop", "the answer", func(t *v1alpha1.ReleaseTrack) bool { return t.Status.LastHandledRestartAt == "monday" })
	checkServed(t, s.ns, "web")

	// Each value is answered once, also by the next commit.
	next := s.commit(shop("2"))
	s.live(next)
	s.stays(3*time.Second, func() error {
		s.Expect(s.release(next).Status.Run).To(gomega.BeEquivalentTo(1))
		return nil
	})
	s.kubectl("annotate", "rtrack", "shop", v1alpha1.RestartAnnotation+"=tuesday", "--overwrite")
	s.until(next, "its second run", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun == 2 })
}

func TestFailedReleaseIsKeptToBeLookedAt(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop", func(t *v1alpha1.ReleaseTrack) { t.Spec.Rollout.KeepFailed = metav1.Duration{Duration: 8 * time.Second} })
	s.live(first)
	s.patchTrack("shop", `{"spec":{"rollout":{"progressDeadline":"3s"}}}`) // which the first one may not keep on a busy machine
	bad := s.commit(shop("2", pods(behaviour, "never-ready")))
	failed := s.reaches(bad, v1alpha1.PhaseFailed)
	s.stays(4*time.Second, func() error {
		s.Expect(s.podsOf(bad)).To(gomega.HaveLen(2))
		return nil
	})
	s.neverServed(bad)
	s.until(bad, "nothing left", func(r *v1alpha1.ImmutableRelease) bool {
		return isTrue(r.Status.Conditions, v1alpha1.DeletableCondition)
	})
	s.Expect(time.Since(failed.Status.Times.Superseded.Time)).To(gomega.BeNumerically(">=", 8*time.Second))
	checkServed(t, s.ns, "web")
}

// Somebody deletes the Deployment and leaves its ReplicaSet behind, which would keep its pods for ever.
func TestOrphanedReplicaSetEnds(t *testing.T) {
	s := tell(t)
	s.unprotected()
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	s.kubectl("delete", "deploy", "web"+suffixOf(first), "--cascade=orphan")
	s.until(first, "its second run alone", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.ActiveRun == 2 && r.Status.Replicas.Remaining == 2 && isTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})
	s.Eventually(func() []string { return strings.Fields(s.kubectl("get", "rs", "-o", "name")) }).Should(gomega.HaveLen(1))
	checkServed(t, s.ns, "web")
	next := s.commit(shop("2"))
	s.live(next)
	s.retired(first)
}
