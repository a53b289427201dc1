package e2e

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// A commit fails several gates. kubectl describe tells of all of them, each with its place; what runs goes on.
func TestDescribeTellsAllThatFailed(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop", func(t *v1alpha1.ReleaseTrack) { t.Spec.Gates.Hardening = v1alpha1.GateWarn })
	s.live(first)
	s.Expect(s.kubectl("describe", "irel", first)).To(gomega.ContainSubstring("warnings, see spec.findings"))

	s.patchTrack("shop", `{"spec":{"gates":{"images":"Require","hardening":"Enforce"}}}`)
	files := shop("2")
	files["deploy/namespace.yaml"] = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: other\n"
	files["deploy/owned.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: owned\n  namespace: kube-system\n  ownerReferences:\n  - {apiVersion: v1, kind: Pod, name: a, uid: b}\n"
	bad := s.commit(files)
	s.reaches(bad, v1alpha1.PhaseRejected)
	told := s.kubectl("describe", "irel", bad)
	for _, words := range []string{
		"failed gates: kinds, namespace, metadata, images, hardening/privilege-escalation", "deploy/namespace.yaml:1", "ClusterScopedKind", "ForeignNamespace",
		"metadata.ownerReferences", "ImageWithoutDigest", "RunsAsRoot", "Deployment/web", "spec.template.spec.containers[0].securityContext.runAsNonRoot", "set runAsNonRoot: true",
	} {
		s.Expect(told).To(gomega.ContainSubstring(words))
	}
	checkServed(t, s.ns, "web")
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))
}
