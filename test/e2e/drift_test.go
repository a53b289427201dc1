package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Where nothing prevents it, an administrator edits, scales, labels and deletes what runs. It is found, told and undone; what Kubernetes' own
// controllers do all the while is not taken for it.
func TestChangedByHand(t *testing.T) {
	s := tell(t)
	s.unprotected()
	s.breaks = []string{"versioned objects are written once"}
	first := s.commit(everything("1"))
	s.makeTrack("shop")
	s.live(first)
	s.stays(5*time.Second, func() error {
		rel := s.release(first)
		s.Expect(rel.Status.Drift).To(gomega.BeEmpty(), "controllers do their work")
		s.Expect(rel.Status.Run).To(gomega.BeEquivalentTo(1))
		return nil
	})
	was := uids(s.podsOf(first))

	s.kubectl("set", "image", "deployment/web"+suffixOf(first), "*=evil.example/web:1")
	replaced := s.until(first, "its second run alone", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.ActiveRun == 2 && len(r.Status.Drift) == 1 && condition(r.Status.Conditions, v1alpha1.DriftedCondition).Type == "" &&
			isTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})
	d := replaced.Status.Drift[0]
	s.Expect(d.Answer).To(gomega.Equal(v1alpha1.DriftNewRun))
	s.Expect(d.Managers).To(gomega.Equal([]string{"kubectl-set"}))
	s.Expect(slices.ContainsFunc(d.Paths, func(p string) bool { return p == `spec.template.spec.containers[name="web"].image` })).To(gomega.BeTrue(), "%v", d.Paths)
	for _, uid := range uids(s.podsOf(first)) {
		s.Expect(was).NotTo(gomega.ContainElement(uid))
	}
	checkServed(t, s.ns, "web")

	s.kubectl("patch", "service", "web", "--type=json", "-p", `[{"op":"replace","path":"/spec/selector","value":{"app":"nobody"}}]`)
	s.until(first, "the Service as it was", func(r *v1alpha1.ImmutableRelease) bool {
		return len(r.Status.Drift) == 2 && r.Status.Drift[1].Answer == v1alpha1.DriftApplied && condition(r.Status.Conditions, v1alpha1.DriftedCondition).Type == ""
	})
	s.kubectl("delete", "service", "web")
	s.until(first, "the Service again", func(r *v1alpha1.ImmutableRelease) bool {
		return len(r.Status.Drift) == 3 && r.Status.Drift[2].Change == v1alpha1.DriftDeleted
	})
	s.Expect(s.kubectl("get", "service", "web", "-o", `jsonpath={.spec.selector.stele\.dev/run}`)).To(gomega.Equal("2"))
	s.Expect(s.release(first).Status.ActiveRun).To(gomega.BeEquivalentTo(2))
	s.live(s.commit(everything("2")))
}
