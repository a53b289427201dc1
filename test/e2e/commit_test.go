package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// trackYAML is a track as a platform engineer writes it.
const trackYAML = `apiVersion: stele.dev/v1alpha1
kind: ReleaseTrack
metadata:
  name: shop
  namespace: %s
spec:
  interval: 1s
  source:
    url: %s
    ref: {branch: main}
    path: ./deploy
  serviceAccountName: deployer
  gates: {images: Ignore}
  rollout: {progressDeadline: 2m, drain: 1s, terminationDeadline: 2m}
`

func TestCommitGoesLiveAndTheOldOneIsRetired(t *testing.T) {
	s := tell(t)
	files := shop("1", withConfig("web-config", "web-secret"))
	files["deploy/config.yaml"] = configMap("web-config", "hello")
	files["deploy/secret.yaml"] = secret("web-secret", "one")
	first := s.commit(files)
	_, err := suite.cluster.KubectlInput(s.ctx, fmt.Sprintf(trackYAML, s.ns, s.git.HTTPURL(s.ns)), "apply", "-f", "-")
	s.must(err)
	one := s.live(first)
	suffix := strings.TrimPrefix(first, "shop-")

	s.Run("what it is made of", func(t *testing.T) { s.madeOf(t, one, suffix) })
	s.Run("what people see", func(t *testing.T) { s.seen(t, one) })
	s.Run("it is written once", func(t *testing.T) {
		g := gomega.NewWithT(t)
		g.Expect(s.refused("patch", "irel", first, "--type=merge", "-p", `{"spec":{"sequence":7}}`)).To(
			gomega.ContainSubstring("the spec of an ImmutableRelease never changes"))
		g.Expect(s.refused("patch", "cm", "web-config-"+suffix, "--type=merge", "-p", `{"data":{"GREETING":"bye"}}`)).To(
			gomega.ContainSubstring("immutable"))
	})

	second := s.commit(map[string]string{"deploy/web.yaml": app("web", "2", withConfig("web-config", "web-secret"))})
	two := s.live(second)
	old := s.retired(first)
	s.Expect(s.leftOf(first)).To(gomega.BeEmpty())
	s.Expect(s.podsOf(second)).To(gomega.HaveLen(2))
	s.Expect(two.Spec.Previous).To(gomega.HaveValue(gomega.HaveField("Name", first)))
	s.Expect(two.Spec.Sequence).To(gomega.BeEquivalentTo(2))
	s.Expect(old.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomeSuperseded))
	s.Expect(old.Status.Terminated).To(gomega.Equal(v1alpha1.ReleaseTerminated{Confirmed: 2}))
	s.Expect(old.Status.Replicas).To(gomega.Equal(v1alpha1.ReleaseReplicas{}))
	s.Expect(condition(old.Status.Conditions, v1alpha1.ReplicasTerminatedCondition).Reason).To(gomega.Equal(v1alpha1.ObservedGoneReason))
	s.Expect(old.Spec).To(gomega.Equal(one.Spec))
	times := old.Status.Times
	for _, pair := range [][2]time.Time{
		{times.Created.Time, times.Staged.Time}, {times.Staged.Time, times.Activated.Time},
		{times.Activated.Time, times.Superseded.Time}, {times.Superseded.Time, times.Retired.Time},
	} {
		s.Expect(pair[0]).To(gomega.BeTemporally("<", pair[1]))
	}
	s.drained(first, times.Superseded.Time)
	checkServed(t, s.ns, "web")
	s.Expect(s.row(s.kubectl("get", "irel"), first)).To(gomega.And(
		gomega.HaveKeyWithValue("PHASE", "Retired"), gomega.HaveKeyWithValue("REMAINING", "0")))
	s.Eventually(func() string { return s.kubectl("events", "--for=immutablerelease/"+first) }).Should(gomega.And(
		gomega.ContainSubstring("takes the traffic"), gomega.ContainSubstring("no pod of this release is left")))
}

// madeOf looks at names, labels and references of the first run.
func (s *story) madeOf(t *testing.T, r *v1alpha1.ImmutableRelease, suffix string) {
	g := gomega.NewWithT(t)
	ofRun := gomega.And(gomega.HaveKeyWithValue(v1alpha1.ReleaseLabel, r.Name), gomega.HaveKeyWithValue(v1alpha1.RunLabel, "1"))
	labels := gomega.And(gomega.HaveKeyWithValue(v1alpha1.TrackLabel, "shop"), ofRun)
	web := get[appsv1.Deployment](s, "web-"+suffix)
	config := get[corev1.ConfigMap](s, "web-config-"+suffix)
	secret := get[corev1.Secret](s, "web-secret-"+suffix)
	svc := get[corev1.Service](s, "web")
	pods := s.podsOf(r.Name)
	g.Expect(pods).To(gomega.HaveLen(2))
	for _, l := range []map[string]string{web.Labels, web.Spec.Template.Labels, config.Labels, secret.Labels,
		svc.Spec.Selector, pods[0].Labels} {
		g.Expect(l).To(labels)
	}
	g.Expect(web.Spec.Selector.MatchLabels).To(ofRun)
	g.Expect(svc.Labels).To(gomega.HaveKeyWithValue(v1alpha1.TrackLabel, "shop"))
	g.Expect(svc.Labels).NotTo(gomega.HaveKey(v1alpha1.ReleaseLabel))
	g.Expect(svc.Spec.Selector).To(gomega.HaveKeyWithValue("app", "web"))
	g.Expect(ptr.Deref(config.Immutable, false)).To(gomega.BeTrue())
	g.Expect(ptr.Deref(secret.Immutable, false)).To(gomega.BeTrue())
	g.Expect(string(secret.Data["token"])).To(gomega.Equal("one"))
	pod := web.Spec.Template.Spec
	g.Expect(pod.Containers[0].EnvFrom[0].ConfigMapRef.Name).To(gomega.Equal(config.Name))
	g.Expect(pod.Volumes[0].Secret.SecretName).To(gomega.Equal(secret.Name))
	g.Expect(web.OwnerReferences).To(gomega.BeEmpty(), "no reference from a custom resource to a workload")
	var objects []string
	for _, o := range r.Spec.Objects {
		objects = append(objects, string(o.Class)+" "+o.Kind+" "+o.Name)
	}
	g.Expect(objects).To(gomega.ConsistOf("Versioned ConfigMap web-config", "Versioned Secret web-secret", "Stable Service web",
		"Versioned Deployment web"))
}

// seen looks at what kubectl prints.
func (s *story) seen(t *testing.T, r *v1alpha1.ImmutableRelease) {
	g := gomega.NewWithT(t)
	table := s.kubectl("get", "irel")
	g.Expect(strings.Fields(table)[:7]).To(gomega.Equal([]string{"NAME", "TRACK", "COMMIT", "PHASE", "READY", "REMAINING", "AGE"}))
	g.Expect(s.row(table, r.Name)).To(gomega.And(gomega.HaveKeyWithValue("TRACK", "shop"),
		gomega.HaveKeyWithValue("COMMIT", r.Spec.Source.Commit), gomega.HaveKeyWithValue("PHASE", "Active"),
		gomega.HaveKeyWithValue("READY", "2"), gomega.HaveKeyWithValue("REMAINING", "2")))
	g.Expect(s.kubectl("get", "irel", r.Name, "-o", "wide")).To(gomega.ContainSubstring(r.Spec.Digest))
	g.Expect(s.row(s.kubectl("get", "rtrack"), "shop")).To(gomega.And(
		gomega.HaveKeyWithValue("READY", "True"), gomega.HaveKeyWithValue("ACTIVE", r.Name), gomega.HaveKeyWithValue("TARGET", r.Name)))
	track := s.track("shop")
	g.Expect(track.Status.ObservedRevision).To(gomega.Equal("main@sha1:" + r.Spec.Source.Commit))
	g.Expect(isTrue(track.Status.Conditions, v1alpha1.SourceFetchedCondition)).To(gomega.BeTrue())
	s.kubectl("wait", "--for=condition=Ready", "--timeout=1s", "rtrack/shop", "irel/"+r.Name)
	// "kubectl get stele" shows both kinds: they share a category.
	g.Expect(s.kubectl("get", "stele", "-o", "name")).To(gomega.And(gomega.ContainSubstring("releasetrack"), gomega.ContainSubstring("immutablerelease")))
}

// drained: the first termination comes one drain (1s) after the switch. Deletion times have whole seconds.
func (s *story) drained(release string, superseded time.Time) {
	s.Helper()
	found := false
	for _, fr := range framesOf[*appsv1.Deployment](suite.film.of(s.ns)) {
		if deleted := fr.obj.GetDeletionTimestamp(); fr.release() == release && deleted != nil {
			found = true
			s.Expect(deleted.Time).To(gomega.BeTemporally(">=", superseded.Truncate(time.Second).Add(time.Second)))
		}
	}
	s.Expect(found).To(gomega.BeTrue(), "a Deployment of "+release+" is deleted in the foreground")
}

func TestCommitThatNeverGetsHealthyFails(t *testing.T) {
	s := tell(t)
	good := s.commit(shop("1"))
	s.makeTrack("shop", progressDeadline(8))
	s.live(good)

	files := shop("2", pods(behaviour, "never-ready"), withConfig("web-config", ""))
	files["deploy/config.yaml"] = configMap("web-config", "hello")
	bad := s.commit(files)
	failed := s.reaches(bad, v1alpha1.PhaseFailed)
	took := failed.Status.Times.Superseded.Sub(failed.Status.Times.Staged.Time)
	s.Expect(took).To(gomega.BeNumerically(">=", 8*time.Second), "a deadline never fires early")
	s.Expect(failed.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomeProgressDeadlineExceeded))
	for _, kind := range []string{v1alpha1.ReadyCondition, v1alpha1.HealthyCondition, v1alpha1.StalledCondition} {
		c := condition(failed.Status.Conditions, kind)
		s.Expect(c.Reason).To(gomega.Equal(v1alpha1.ProgressDeadlineReason), kind)
		s.Expect(c.Message).To(gomega.And(gomega.ContainSubstring("not healthy within 8s"), gomega.ContainSubstring("Deployment web: 0 of 2 replicas ready"),
			gomega.ContainSubstring("containers with unready status: [web]")), kind)
	}
	s.Eventually(func() []string { return s.leftOf(bad) }).Should(gomega.BeEmpty())
	s.until(bad, "Deletable", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Phase == v1alpha1.PhaseFailed && r.Status.Replicas.Remaining == 0 && isTrue(r.Status.Conditions, v1alpha1.DeletableCondition)
	})
	track := s.trackUntil("shop", "Stalled", func(t *v1alpha1.ReleaseTrack) bool { return isTrue(t.Status.Conditions, v1alpha1.StalledCondition) })
	ready := condition(track.Status.Conditions, v1alpha1.ReadyCondition)
	s.Expect(ready.Reason).To(gomega.Equal(v1alpha1.ReleaseFailedReason))
	s.Expect(ready.Message).To(gomega.And(gomega.ContainSubstring(bad), gomega.ContainSubstring("release "+good+" serves on")))
	s.Eventually(func() string { return s.kubectl("events", "--for=immutablerelease/"+bad) }).Should(gomega.ContainSubstring("ProgressDeadlineExceeded"))
	s.Expect(get[corev1.Service](s, "web").Spec.Selector).To(gomega.HaveKeyWithValue(v1alpha1.ReleaseLabel, good))
	s.neverServed(bad)

	mended := s.commit(shop("3"))
	now := s.live(mended)
	checkReplicas(t, s.ns, good, 2, s.deletionOf("web-"+strings.TrimPrefix(good, "shop-")))
	checkServed(t, s.ns, "web")
	s.Expect(now.Status.Times.Activated.After(failed.Status.Times.Superseded.Time)).To(gomega.BeTrue())
	s.retired(good)
}

// neverServed: no Service ever selected the release.
func (s *story) neverServed(release string) {
	s.Helper()
	for _, fr := range framesOf[*corev1.Service](suite.film.of(s.ns)) {
		if svc, ok := fr.obj.(*corev1.Service); ok && svc.Spec.Selector[v1alpha1.ReleaseLabel] == release {
			s.Errorf("Service %s selected release %s at version %d", svc.Name, release, fr.version)
		}
	}
}

// deletionOf is the version at which a Deployment's deletion began; 0 when it was not deleted.
func (s *story) deletionOf(deployment string) uint64 {
	frames := framesOf[*appsv1.Deployment](suite.film.of(s.ns))
	i := slices.IndexFunc(frames, func(fr frame) bool {
		return fr.obj.GetName() == deployment && (fr.removed || fr.obj.GetDeletionTimestamp() != nil)
	})
	if i < 0 {
		return 0
	}
	return frames[i].version
}
