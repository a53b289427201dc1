package e2e

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// A grant that ends: every pod of its namespace is another one then, those of a StatefulSet too, and the StatefulSet itself was not touched.
// The end removes the grant, and with it who had it.
func TestPodsAreReplacedAfterBreakGlass(t *testing.T) {
	s := tell(t)
	files := shop("1")
	files["deploy/db.yaml"] = workload{kind: "StatefulSet", name: "db", replicas: 2, version: "1"}.yaml()
	first := s.commit(files)
	s.makeTrack("shop")
	s.live(first)
	all := func() []corev1.Pod {
		var list corev1.PodList
		s.must(suite.client.List(t.Context(), &list, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.TrackLabel: "shop"}))
		return list.Items
	}
	was, set := uids(all()), get[appsv1.StatefulSet](s, "db")
	s.Expect(was).To(gomega.HaveLen(4))

	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.BreakGlassName}}
	s.must(client.IgnoreAlreadyExists(suite.client.Create(t.Context(), b)))
	s.must(suite.client.Get(t.Context(), client.ObjectKeyFromObject(b), b))
	before := b.DeepCopy()
	b.Spec.Grants = append(b.Spec.Grants, v1alpha1.BreakGlassGrant{User: "somebody", Namespaces: []string{s.ns}, ReasonCode: "INC-4711",
		Until: metav1.NewTime(time.Now().Add(2 * time.Second))})
	s.must(suite.client.Patch(t.Context(), b, client.MergeFrom(before)))

	s.until(first, "its second run", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun == 2 })
	s.Eventually(func(g gomega.Gomega) {
		now := all()
		g.Expect(now).To(gomega.HaveLen(4))
		for _, p := range now {
			g.Expect(was).NotTo(gomega.ContainElement(string(p.UID)))
			g.Expect(isReady(&p)).To(gomega.BeTrue())
		}
	}).Should(gomega.Succeed())
	s.Expect(get[appsv1.StatefulSet](s, "db").Generation).To(gomega.Equal(set.Generation))
	once := uids(all())
	s.stays(3*time.Second, func() error {
		s.Expect(s.release(first).Status.Run).To(gomega.BeEquivalentTo(2))
		s.Expect(uids(all())).To(gomega.Equal(once))
		return nil
	})
	s.must(suite.client.Get(t.Context(), client.ObjectKeyFromObject(b), b))
	for _, g := range b.Spec.Grants {
		s.Expect(g.Namespaces).NotTo(gomega.ContainElement(s.ns))
	}
	checkServed(t, s.ns, "web")
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
