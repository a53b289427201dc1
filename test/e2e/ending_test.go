package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

func TestSuspendStopsFollowing(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.patchTrack("shop", `{"spec":{"suspend":true}}`)
	s.trackUntil("shop", "the suspension observed", func(t *v1alpha1.ReleaseTrack) bool { return t.Status.ObservedGeneration == t.Generation })
	third := s.commit(shop("3"))
	s.stays(3*time.Second, func() error {
		if err := suite.client.Get(s.ctx, s.key(third), &v1alpha1.ImmutableRelease{}); !testkit.IsGone(err) {
			return errors.Join(fmt.Errorf("release %s is there, want it not made while suspended", third), err)
		}
		return nil
	})
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(second))

	// A pin works all the same.
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, first))
	s.live(first)
	s.patchTrack("shop", `{"spec":{"pin":null,"suspend":false}}`)
	s.live(third)
	checkServed(t, s.ns, "web")
}

// archivesOf names the archives of a namespace's releases, in the operator's namespace.
func (s *story) archivesOf() []string {
	s.Helper()
	var list corev1.SecretList
	s.must(suite.client.List(s.ctx, &list, client.InNamespace(testkit.OperatorNamespace)))
	var out []string
	for _, secret := range list.Items {
		if of := secret.Annotations["stele.dev/archive-of"]; strings.HasPrefix(of, s.ns+"/") {
			out = append(out, strings.TrimPrefix(of, s.ns+"/"))
		}
	}
	return out
}

// gone waits until a track is gone.
func (s *story) gone(track string) {
	s.Helper()
	s.Eventually(func() bool {
		return testkit.IsGone(suite.client.Get(s.ctx, s.key(track), &v1alpha1.ReleaseTrack{}))
	}).Should(gomega.BeTrue())
}

// everything is a release with an object of each class.
func everything(version string) map[string]string {
	files := shop(version, withConfig("config", "secret"))
	files["deploy/config.yaml"], files["deploy/secret.yaml"] = configMap("config", "hello"), secret("secret", "one")
	files["deploy/claim.yaml"], files["deploy/ingress.yaml"] = claim("uploads"), ingress("web", "shop.example")
	files["deploy/hpa.yaml"], files["deploy/pdb.yaml"] = autoscaler("web", 2, 4), budget("web")
	files["deploy/db.yaml"] = workload{kind: "StatefulSet", name: "db", replicas: 1, version: "1", storage: true}.yaml()
	return files
}

func TestDeletedTrackLeavesClaimsOnly(t *testing.T) {
	s := tell(t)
	first := s.commit(everything("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(everything("2"))
	s.live(second)
	s.Expect(s.archivesOf()).To(gomega.ConsistOf(first, second))
	s.kubectl("delete", "rtrack", "shop", "--wait=false")
	s.gone("shop")
	s.Expect(strings.Fields(s.kubectl("get", "deploy,rs,sts,pods,svc,secret,hpa,pdb,ingress,irel,rtrack", "-o", "name"))).To(gomega.BeEmpty())
	s.Expect(s.kubectl("get", "cm", "-l", v1alpha1.TrackLabel, "-o", "name")).To(gomega.BeEmpty())
	s.Expect(s.archivesOf()).To(gomega.BeEmpty())
	s.Expect(strings.Fields(s.kubectl("get", "pvc", "-o", "name"))).To(gomega.ConsistOf(
		"persistentvolumeclaim/uploads", "persistentvolumeclaim/data-db-0"))
}

func TestOrphanedTrackIsTakenUpAgain(t *testing.T) {
	s := tell(t)
	orphan := func(t *v1alpha1.ReleaseTrack) { t.Spec.DeletionPolicy = v1alpha1.DeletionOrphan }
	first := s.commit(everything("1"))
	s.makeTrack("shop", orphan)
	s.live(first)
	second := s.commit(everything("2"))
	s.live(second)
	s.retired(first)
	was := s.all(made + ",irel")
	s.kubectl("delete", "rtrack", "shop", "--wait=false")
	s.gone("shop")
	s.Expect(s.all(made+",irel")).To(gomega.Equal(was), "everything stays")
	s.Expect(s.archivesOf()).To(gomega.ConsistOf(first, second))

	s.makeTrack("shop", orphan)
	s.trackUntil("shop", "Ready", func(t *v1alpha1.ReleaseTrack) bool { return isTrue(t.Status.Conditions, v1alpha1.ReadyCondition) })
	s.stays(3*time.Second, func() error {
		if now := s.all(made + ",irel"); len(difference(was, now)) > 0 {
			return fmt.Errorf("changed: %v", difference(was, now))
		}
		return nil
	})
	s.Expect(s.release(second).Status.Run).To(gomega.BeEquivalentTo(1))
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, first))
	s.live(first)
	checkServed(t, s.ns, "web")
}

// made are the kinds of what a track makes besides releases.
const made = "deploy,rs,sts,pods,svc,cm,secret,hpa,pdb,ingress,pvc"

// all are the uids of what a track has made, by name.
func (s *story) all(kinds string) map[string]string {
	s.Helper()
	out := map[string]string{}
	lines := s.kubectl("get", kinds, "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\n"}{end}`)
	for line := range strings.Lines(lines) {
		if name, uid, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[name] = uid
		}
	}
	return out
}

// A namespace that is not protected may be deleted with all that runs in it; TestAttacks shows one that is.
func TestDeletedNamespaceEnds(t *testing.T) {
	s := tell(t)
	s.unprotected()
	first := s.commit(everything("1"))
	s.makeTrack("shop")
	s.live(first)
	s.kubectl("delete", "namespace", s.ns, "--wait=false")
	s.Eventually(func() bool {
		return testkit.IsGone(suite.client.Get(s.ctx, client.ObjectKey{Name: s.ns}, &corev1.Namespace{}))
	}).WithTimeout(60 * time.Second).Should(gomega.BeTrue())
}

// Somebody deletes pods by force in the end.
func TestPodThatWillNotEnd(t *testing.T) {
	s := tell(t)
	s.unprotected()
	first := s.commit(shop("1", pods(behaviour, "never-terminate")))
	s.makeTrack("shop", func(t *v1alpha1.ReleaseTrack) { t.Spec.Rollout.TerminationDeadline.Duration = 3 * time.Second })
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	stuck := s.until(first, "Stalled", func(r *v1alpha1.ImmutableRelease) bool { return isTrue(r.Status.Conditions, v1alpha1.StalledCondition) })
	s.Expect(stuck.Status.Phase).To(gomega.Equal(v1alpha1.PhaseDraining))
	said := condition(stuck.Status.Conditions, v1alpha1.StalledCondition)
	s.Expect(said.Reason).To(gomega.Equal(v1alpha1.PodsNotTerminatingReason))
	for _, p := range s.podsOf(first) {
		s.Expect(said.Message).To(gomega.ContainSubstring(p.Name))
	}
	s.Expect(isTrue(s.track("shop").Status.Conditions, v1alpha1.ReadyCondition)).To(gomega.BeTrue(), "the track is as it should be")

	third := s.commit(shop("3"))
	s.live(third)
	s.retired(second)
	s.Expect(s.release(first).Status.Replicas.Remaining).To(gomega.BeEquivalentTo(2), "never a silent give-up")

	s.kubectl("delete", "pods", "--force", "--grace-period=0", "-l", v1alpha1.ReleaseLabel+"="+first)
	over := s.retired(first)
	s.Expect(over.Status.Terminated.Confirmed + over.Status.Terminated.Unconfirmed).To(gomega.BeEquivalentTo(2))
	s.Expect(over.Status.Terminated.Unconfirmed).To(gomega.BeEquivalentTo(2), "nobody saw their containers end")
	s.Expect(isTrue(over.Status.Conditions, v1alpha1.StalledCondition)).To(gomega.BeFalse())
}

func TestHistoryIsKeptShort(t *testing.T) {
	s := tell(t)
	one := int32(1)
	s.makeTrack("shop", progressDeadline(5), func(t *v1alpha1.ReleaseTrack) {
		t.Spec.History.Keep = &one
		t.Spec.History.MinAge.Duration = 0
	})
	var names []string
	for i := range 4 {
		names = append(names, s.commit(shop(fmt.Sprint(i))))
		s.live(names[i])
	}
	// The last good one is kept whatever the history says, and one more.
	s.Eventually(func() []string {
		return strings.Fields(s.kubectl("get", "irel", "-o", "jsonpath={.items[*].metadata.name}"))
	}).Should(gomega.ConsistOf(names[1], names[2], names[3]))
	s.Eventually(s.archivesOf).Should(gomega.ConsistOf(names[1], names[2], names[3]))

	bad := s.commit(shop("bad", pods(behaviour, "never-ready")))
	s.reaches(bad, v1alpha1.PhaseFailed)
	last := s.commit(shop("last"))
	s.live(last)
	s.Eventually(func() []string {
		return strings.Fields(s.kubectl("get", "irel", "-o", "jsonpath={.items[*].metadata.name}"))
	}).Should(gomega.ConsistOf(bad, names[3], last))
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, names[3]))
	s.live(names[3])
	checkServed(t, s.ns, "web")
}

// TestRemovedCRDsLeaveWorkloads waits for all other stories, for it takes the CRDs away from them.
func TestRemovedCRDsLeaveWorkloads(t *testing.T) {
	t.Parallel()
	suite.stories.Wait()
	s := begin(t)
	first := s.commit(everything("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(everything("2"))
	s.live(second)
	s.retired(first)
	was := s.all(made)
	s.kubectl("delete", "crd", "releasetracks.stele.dev", "immutablereleases.stele.dev", "--timeout=60s")
	s.Expect(difference(was, s.all(made))).To(gomega.BeEmpty(), "somebody removed Stele, not the applications")

	// Stele is installed again: the track and its releases are made anew from Git, and what runs is taken up as it is.
	s.kubectl("apply", "--server-side", "-f", filepath.Join(testkit.Root(), "config", "crd", "bases"))
	s.Eventually(func() error { // kubectl wait fails on a definition that has no status yet
		_, err := suite.cluster.Kubectl(s.ctx, "wait", "--for=condition=Established", "--timeout=30s", "crd/releasetracks.stele.dev", "crd/immutablereleases.stele.dev")
		return err
	}).Should(gomega.Succeed())
	s.makeTrack("shop")
	again := s.live(second)
	s.Expect(again.Status.ActiveRun).To(gomega.BeEquivalentTo(1), "what serves is taken up")
	s.Expect(difference(was, s.all(made))).To(gomega.BeEmpty(), "nothing is made anew")
	s.Eventually(func() []string {
		return strings.Fields(s.kubectl("get", "deploy,cm,hpa,pdb,secret", "-l", v1alpha1.ReleaseLabel, "-o", "name"))
	}).Should(gomega.HaveLen(5), "what the run before has left is gone")
	checkServed(t, s.ns, "web")
}
