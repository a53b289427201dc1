package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func rollout(change func(*v1alpha1.Rollout)) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) { change(&t.Spec.Rollout) }
}

func seconds(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }

func (s *story) promote(release string) {
	s.Helper()
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"promote":%q}}`, release))
}

func TestManualPromotion(t *testing.T) {
	s := tell(t)
	files := shop("1")
	files["deploy/ingress.yaml"] = ingress("web", "shop.example.eu")
	first := s.commit(files)
	s.makeTrack("shop", rollout(func(r *v1alpha1.Rollout) { r.Promotion = v1alpha1.PromotionManual }))

	// The first release waits as well, and nothing leads to it.
	r := s.reaches(first, v1alpha1.PhaseStandby)
	s.Expect(condition(r.Status.Conditions, v1alpha1.ReadyCondition).Reason).To(gomega.Equal(v1alpha1.AwaitingPromotionReason))
	s.Expect(s.kubectl("get", "service,ingress", "-o", "name")).To(gomega.BeEmpty())
	s.trackUntil("shop", "that a person is asked", func(t *v1alpha1.ReleaseTrack) bool {
		c := condition(t.Status.Conditions, v1alpha1.ReadyCondition)
		return c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.AwaitingPromotionReason && strings.Contains(c.Message, "spec.promote")
	})
	s.promote(first)
	s.live(first)
	s.Expect(s.kubectl("get", "service,ingress", "-o", "name")).To(gomega.Equal("service/web\ningress.networking.k8s.io/web\n"))
	s.trackUntil("shop", "the promotion handled", func(t *v1alpha1.ReleaseTrack) bool {
		return t.Status.Promotion != nil && t.Status.Promotion.Handled != nil && isTrue(t.Status.Conditions, v1alpha1.ReadyCondition)
	})

	// A newer commit takes the place on standby; the promotion of before does nothing more.
	second := s.commit(shop("2"))
	s.reaches(second, v1alpha1.PhaseStandby)
	s.trackUntil("shop", "the standby in its message", func(t *v1alpha1.ReleaseTrack) bool {
		c := condition(t.Status.Conditions, v1alpha1.ReadyCondition)
		return c.Status == metav1.ConditionTrue && strings.Contains(c.Message, second+" is on standby")
	})
	third := s.commit(shop("3"))
	s.reaches(third, v1alpha1.PhaseStandby)
	s.retired(second)
	s.stays(3*time.Second, func() error {
		s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))
		s.Expect(s.release(third).Status.Phase).To(gomega.Equal(v1alpha1.PhaseStandby))
		return nil
	})
	s.neverServed(third)

	// Promoted, it moves on; both moments are noted.
	s.promote(third)
	done := s.live(third)
	s.Expect(done.Status.Times.Promoted).NotTo(gomega.BeNil())
	s.Expect(done.Status.Times.Promoted.Time).NotTo(gomega.BeTemporally("<", done.Status.Times.Standby.Time))
	s.retired(first)

	// What does not exist is said, and changes nothing; an earlier release can be promoted.
	s.promote("shop-0000000000")
	s.trackUntil("shop", "that it does not exist", func(t *v1alpha1.ReleaseTrack) bool {
		return condition(t.Status.Conditions, v1alpha1.ReadyCondition).Reason == v1alpha1.InvalidPromotionReason
	})
	s.promote(first)
	s.until(first, "active again", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun == 2 })
	s.reaches(third, v1alpha1.PhaseStandby)
	checkServed(t, s.ns, "web")
}

func TestStandbyThatIsDamaged(t *testing.T) {
	s := tell(t)
	s.unprotected()
	with := func(version string) map[string]string {
		files := shop(version)
		files["deploy/ingress.yaml"] = ingress("web", "shop.example.eu")
		return files
	}
	first := s.commit(with("1"))
	s.makeTrack("shop", progressDeadline(8), rollout(func(r *v1alpha1.Rollout) { r.Promotion = v1alpha1.PromotionManual }))
	s.reaches(first, v1alpha1.PhaseStandby)
	s.promote(first)
	s.live(first)

	// A release on standby of which somebody deletes something is run again.
	second := s.commit(with("2"))
	s.reaches(second, v1alpha1.PhaseStandby)
	was := uids(s.podsOf(second))
	s.kubectl("delete", "deployment", "-l", v1alpha1.ReleaseLabel+"="+second)
	s.until(second, "ready again", func(r *v1alpha1.ImmutableRelease) bool {
		pods := s.podsOf(second)
		return r.Status.Run == 2 && len(pods) == 2 && !maps.Equal(uids(pods), was) && isTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})

	// A pod that is not ready when the release is promoted does not end it, however long it has stood; and what was deleted of the
	// routes is made with the promotion.
	s.stays(9*time.Second, func() error { return nil })
	s.kubectl("delete", "ingress", "web")
	s.nodeSays("crash", s.podsOf(second)[0])
	s.until(second, "unhealthy", func(r *v1alpha1.ImmutableRelease) bool { return !isTrue(r.Status.Conditions, v1alpha1.ReadyCondition) })
	s.promote(second)
	s.until(second, "promoted", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Times.Promoted != nil })
	s.nodeSays("none", s.podsOf(second)...)
	s.live(second)
	s.Expect(s.kubectl("get", "ingress", "-o", "name")).To(gomega.Equal("ingress.networking.k8s.io/web\n"))
	checkServed(t, s.ns, "web")
}

func TestObservedReleaseThatFallsIll(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop", rollout(func(r *v1alpha1.Rollout) { r.Observe = seconds(5) }))
	s.live(first)
	s.until(first, "passed", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Observation == v1alpha1.ObservationPassed })
	s.patchTrack("shop", `{"spec":{"rollout":{"observe":"60s"}}}`)
	was := uids(s.podsOf(first))

	second := s.commit(shop("2"))
	s.live(second)
	s.stays(3*time.Second, func() error {
		s.Expect(s.podsOf(first)).To(gomega.HaveLen(2), "the old replicas stay, though the drain is over")
		return nil
	})
	s.nodeSays("crash", s.podsOf(second)...)
	bad := s.reaches(second, v1alpha1.PhaseFailed)
	s.Expect(bad.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomeObservationFailed))
	s.Expect(condition(bad.Status.Conditions, v1alpha1.HealthyCondition).Message).To(gomega.ContainSubstring("within 1m after the switch"))
	back := s.until(first, "active again", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun > 0 })
	s.Expect(back.Status.ActiveRun).To(gomega.BeEquivalentTo(1), "the replicas that were there take the traffic")
	s.Expect(uids(s.podsOf(first))).To(gomega.Equal(was))
	s.trackUntil("shop", "that the commit failed", func(t *v1alpha1.ReleaseTrack) bool {
		c := condition(t.Status.Conditions, v1alpha1.ReadyCondition)
		return c.Reason == v1alpha1.ReleaseFailedReason && strings.Contains(c.Message, second) && t.Status.ActiveRelease == first
	})
	s.stays(3*time.Second, func() error {
		s.Expect(s.release(second).Status.Run).To(gomega.BeEquivalentTo(1), "it is not tried again")
		return nil
	})
	s.until(second, "nothing left", func(r *v1alpha1.ImmutableRelease) bool {
		return isTrue(r.Status.Conditions, v1alpha1.DeletableCondition)
	})

	third := s.commit(shop("3"))
	s.live(third)
}

// A StatefulSet waits for a pod that is not ready before it replaces any; the way back must not.
func TestObservedStatefulSetThatFallsIll(t *testing.T) {
	s := tell(t)
	db := func(version string) string {
		return workload{kind: "StatefulSet", name: "db", replicas: 2, version: version, config: "db-config"}.yaml()
	}
	files := shop("1")
	files["deploy/db.yaml"], files["deploy/db-config.yaml"] = db("1"), configMap("db-config", "one")
	first := s.commit(files)
	s.makeTrack("shop", progressDeadline(20), rollout(func(r *v1alpha1.Rollout) { r.Observe = seconds(60) }))
	s.live(first)
	second := s.commit(map[string]string{"deploy/web.yaml": app("web", "2"), "deploy/db.yaml": db("2")})
	s.live(second)
	s.nodeSays("crash", *get[corev1.Pod](s, "db-0"))
	s.reaches(second, v1alpha1.PhaseFailed)
	back := s.until(first, "active again", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun > 0 })
	s.Expect(back.Status.ActiveRun).To(gomega.BeEquivalentTo(1), "the replicas that were there take the traffic")
	s.Eventually(func() error {
		return ready(get[appsv1.StatefulSet](s, "db"), "db:1")
	}).Should(gomega.Succeed())
	checkServed(t, s.ns, "web")
}

func TestOverlap(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop", rollout(func(r *v1alpha1.Rollout) { r.Overlap = seconds(4) }))
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.retired(first)

	wide, both := false, false
	for _, fr := range suite.film.of(s.ns) {
		switch obj := fr.obj.(type) {
		case *corev1.Service:
			_, narrowed := obj.Spec.Selector[v1alpha1.ReleaseLabel]
			switch to := obj.Annotations[v1alpha1.OverlapAnnotation]; {
			case to != "":
				s.Expect(to).To(gomega.Equal(second + "/1"))
				s.Expect(obj.Spec.Selector).To(gomega.Equal(map[string]string{"app": "web", v1alpha1.TrackLabel: "shop"}))
				wide = true
			case wide:
				s.Expect(narrowed).To(gomega.BeTrue())
			}
		case *discoveryv1.EndpointSlice:
			ready := 0
			for _, e := range obj.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					ready++
				}
			}
			both = both || ready == 4
		}
	}
	s.Expect(wide).To(gomega.BeTrue())
	s.Expect(both).To(gomega.BeTrue(), "the pods of both releases were endpoints")
	times := s.release(second).Status.Times
	s.Expect(times.Activated.Sub(times.Staged.Time)).To(gomega.BeNumerically(">=", 4*time.Second))
	checkServed(t, s.ns, "web")
	service := get[corev1.Service](s, "web")
	s.Expect(service.Annotations).NotTo(gomega.HaveKey(v1alpha1.OverlapAnnotation))
}
