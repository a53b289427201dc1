package e2e

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/imageserver"
)

// A team moves its tag. Each commit runs the image that the tag named when the commit came, and a rollback, with the registry
// down, runs the one that ran before.
func TestMovedTag(t *testing.T) {
	s := tell(t)
	registry, err := imageserver.New()
	s.must(err)
	t.Cleanup(registry.Stop)
	image := registry.Host() + "/shop/web:stable"
	push := func() string {
		digest, err := registry.Push("shop/web:stable")
		s.must(err)
		return image + "@" + digest
	}
	files := func(greeting string) map[string]string {
		return map[string]string{"deploy/web.yaml": strings.Replace(app("web", "stable"), "image: web:stable", "image: "+image, 1),
			"deploy/service.yaml": service("web"), "deploy/config.yaml": configMap("web", greeting)}
	}
	runs := func(release, want string) {
		t.Helper()
		s.Eventually(func() []string {
			var out []string
			for _, p := range s.podsOf(release) {
				out = append(out, p.Spec.Containers[0].Image)
			}
			return out
		}).Should(gomega.And(gomega.HaveLen(2), gomega.HaveEach(want)))
	}

	old := push()
	first := s.commit(files("one"))
	s.makeTrack("shop", func(t *v1alpha1.ReleaseTrack) { t.Spec.Gates = v1alpha1.Gates{} })
	s.live(first)
	runs(first, old)
	moved := push()
	second := s.commit(files("two"))
	s.live(second)
	runs(second, moved)
	s.Expect(get[appsv1.Deployment](s, "web-"+strings.TrimPrefix(second, "shop-")).Spec.Template.Spec.Containers[0].Image).To(gomega.Equal(moved))

	registry.Stop()
	third := s.commit(files("three"))
	waits := s.until(third, "waiting for the registry", func(r *v1alpha1.ImmutableRelease) bool {
		return condition(r.Status.Conditions, v1alpha1.AcceptedCondition).Reason == v1alpha1.RegistryUnreachableReason
	})
	s.Expect(waits.Status.Phase).To(gomega.Equal(v1alpha1.PhasePending))
	s.Expect(s.leftOf(third)).To(gomega.BeEmpty())
	s.patchTrack("shop", `{"spec":{"pin":"`+first+`"}}`)
	s.until(first, "its second run active", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun == 2 })
	runs(first, old)

	s.must(registry.Start())
	s.patchTrack("shop", `{"spec":{"pin":null}}`)
	s.live(third)
	runs(third, moved)
	s.Expect(s.release(third).Status.Images).To(gomega.HaveLen(1))
	checkServed(t, s.ns, "web")
}
