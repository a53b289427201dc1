package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func suffixOf(release string) string { return "-" + strings.TrimPrefix(release, "shop-") }

func TestAutoscalerAndBudget(t *testing.T) {
	s := tell(t)
	files := shop("1")
	files["deploy/hpa.yaml"], files["deploy/pdb.yaml"] = autoscaler("web", 2, 6), budget("web")
	first := s.commit(files)
	s.makeTrack("shop")
	s.live(first)
	hpa := get[autoscalingv2.HorizontalPodAutoscaler](s, "web"+suffixOf(first))
	s.Expect(hpa.Spec.ScaleTargetRef.Name).To(gomega.Equal("web" + suffixOf(first)))
	pdb := get[policyv1.PodDisruptionBudget](s, "web"+suffixOf(first))
	s.Expect(pdb.Spec.Selector.MatchLabels).To(gomega.HaveKeyWithValue(v1alpha1.ReleaseLabel, first))

	// Load has grown: what the autoscaler did is carried over.
	s.autoscale("web"+suffixOf(first), 5)
	s.until(first, "5 ready", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Replicas.Ready == 5 && isTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})
	second := s.commit(shop("2"))
	s.live(second)
	s.Expect(get[appsv1.Deployment](s, "web"+suffixOf(second)).Spec.Replicas).To(gomega.HaveValue(gomega.BeEquivalentTo(5)))
	s.retired(first)
	checkReplicas(t, s.ns, second, 5, 0)
	s.Expect(s.kubectl("get", "hpa,pdb", "-o", "name")).To(gomega.And(gomega.ContainSubstring("autoscaler.autoscaling/web"+suffixOf(second)),
		gomega.ContainSubstring("budget.policy/web"+suffixOf(second)), gomega.Not(gomega.ContainSubstring(suffixOf(first)))))
	s.onlyOneHPA()
	s.afterSwitch(second)

	// The bounds of the new release hold.
	third := s.commit(map[string]string{"deploy/hpa.yaml": autoscaler("web", 1, 3), "deploy/web.yaml": app("web", "3")})
	s.live(third)
	s.Expect(get[appsv1.Deployment](s, "web"+suffixOf(third)).Spec.Replicas).To(gomega.HaveValue(gomega.BeEquivalentTo(3)))
	checkServed(t, s.ns, "web")
}

// afterSwitch: the autoscaler of a release was made when traffic had moved, and not before.
func (s *story) afterSwitch(release string) {
	s.Helper()
	var moved, made uint64
	for _, fr := range suite.film.of(s.ns) {
		switch obj := fr.obj.(type) {
		case *corev1.Service:
			if moved == 0 && obj.Spec.Selector[v1alpha1.ReleaseLabel] == release {
				moved = fr.version
			}
		case *autoscalingv2.HorizontalPodAutoscaler:
			if made == 0 && fr.release() == release {
				made = fr.version
			}
		}
	}
	s.Expect(moved).NotTo(gomega.BeZero())
	s.Expect(made).To(gomega.BeNumerically(">", moved))
}

func TestStatefulSetIsReplacedInPlace(t *testing.T) {
	s := tell(t)
	db := func(version string, change ...func(*workload)) string {
		w := workload{kind: "StatefulSet", name: "db", replicas: 2, version: version, config: "db-config", storage: true}
		for _, c := range change {
			c(&w)
		}
		return w.yaml()
	}
	files := shop("1", withConfig("web-config", ""))
	files["deploy/db.yaml"], files["deploy/db-svc.yaml"] = db("1"), service("db", "  clusterIP: None")
	files["deploy/db-config.yaml"], files["deploy/web-config.yaml"] = configMap("db-config", "one"), configMap("web-config", "one")
	files["deploy/claim.yaml"] = claim("uploads")
	first := s.commit(files)
	s.makeTrack("shop", progressDeadline(15))
	s.live(first)
	s.Expect(get[corev1.PersistentVolumeClaim](s, "data-db-0").Status.Phase).To(gomega.Equal(corev1.ClaimBound))
	dbPods := func() map[string]string {
		return map[string]string{"db-0": string(get[corev1.Pod](s, "db-0").UID), "db-1": string(get[corev1.Pod](s, "db-1").UID)}
	}
	was, set := dbPods(), get[appsv1.StatefulSet](s, "db")
	s.Expect(set.Spec.Template.Labels).To(gomega.HaveKey(v1alpha1.ContentLabel))
	s.Expect(set.Spec.Template.Labels).NotTo(gomega.HaveKey(v1alpha1.ReleaseLabel))
	s.Expect(get[corev1.Service](s, "db").Spec.Selector).To(gomega.Equal(map[string]string{"app": "db"}), "it selects InPlace pods: left as in Git")

	// Untouched when unchanged; its config is kept while it is named, and nothing else is.
	second := s.commit(map[string]string{"deploy/web.yaml": app("web", "2", withConfig("web-config", ""))})
	s.live(second)
	old := s.until(first, "Retired, its objects in use", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Phase == v1alpha1.PhaseRetired && condition(r.Status.Conditions, v1alpha1.DeletableCondition).Reason == v1alpha1.ObjectsInUseReason
	})
	s.Expect(condition(old.Status.Conditions, v1alpha1.DeletableCondition).Message).To(gomega.ContainSubstring("db-config" + suffixOf(first)))
	s.Expect(dbPods()).To(gomega.Equal(was))
	s.Expect(get[appsv1.StatefulSet](s, "db").Generation).To(gomega.Equal(set.Generation))
	s.Expect(s.leftOf(first)).To(gomega.Equal([]string{"configmap/db-config" + suffixOf(first)}))

	// Replaced when its config changes, after the Deployment is healthy.
	third := s.commit(map[string]string{"deploy/web.yaml": app("web", "3", withConfig("web-config", ""), pods(readyAfter, "2s")),
		"deploy/db-config.yaml": configMap("db-config", "two")})
	s.live(third)
	now := dbPods()
	s.Expect(now["db-0"]).NotTo(gomega.Equal(was["db-0"]))
	s.Expect(now["db-1"]).NotTo(gomega.Equal(was["db-1"]))
	s.Expect(get[appsv1.StatefulSet](s, "db").Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name).To(gomega.Equal("db-config" + suffixOf(third)))
	s.replacedAfterHealthy(third)
	s.retired(first)
	s.retired(second)
	s.Expect(s.leftOf(first)).To(gomega.BeEmpty())
	s.Expect(s.leftOf(second)).To(gomega.BeEmpty())

	// One that does not become healthy gets its old content back, and its old pods.
	bad := s.commit(map[string]string{"deploy/db.yaml": db("2", pods(behaviour, "never-ready"))})
	failed := s.until(bad, "Failed and gone", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Phase == v1alpha1.PhaseFailed && isTrue(r.Status.Conditions, v1alpha1.DeletableCondition)
	})
	s.Expect(condition(failed.Status.Conditions, v1alpha1.HealthyCondition).Message).To(gomega.ContainSubstring("StatefulSet db"))
	s.Eventually(func() error {
		return ready(get[appsv1.StatefulSet](s, "db"), "db:1")
	}).Should(gomega.Succeed())
	s.Expect(dbPods()["db-0"]).To(gomega.Equal(now["db-0"]), "a pod that the failing content had not reached is the same")
	s.Expect(s.leftOf(bad)).To(gomega.BeEmpty())
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(third))
	s.kubectl("get", "pvc", "uploads", "data-db-0", "data-db-1")
	checkServed(t, s.ns, "web")
	checkReplicas(t, s.ns, third, 2, 0)
}

// ready reports whether all pods of a StatefulSet run the image and are ready.
func ready(set *appsv1.StatefulSet, image string) error {
	want := ptr.Deref(set.Spec.Replicas, 1)
	got := []any{set.Spec.Template.Spec.Containers[0].Image, set.Status.ReadyReplicas, set.Status.UpdatedReplicas, set.Status.CurrentRevision == set.Status.UpdateRevision}
	if ok, err := gomega.Equal([]any{image, want, want, true}).Match(got); err != nil || !ok {
		return fmt.Errorf("StatefulSet %s: image, ready, updated, done are %v", set.Name, got)
	}
	return nil
}

// replacedAfterHealthy: the StatefulSet was changed when all pods of the release's Deployment were ready.
func (s *story) replacedAfterHealthy(release string) {
	s.Helper()
	seen := map[string]*corev1.Pod{}
	for _, fr := range suite.film.of(s.ns) {
		switch obj := fr.obj.(type) {
		case *corev1.Pod:
			notePod(seen, fr, obj)
		case *appsv1.StatefulSet:
			if obj.Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name == "db-config"+suffixOf(release) {
				ready, unready := countPods(seen, map[string]string{v1alpha1.ReleaseLabel: release})
				s.Expect([]int{ready, unready}).To(gomega.Equal([]int{2, 0}))
				return
			}
		}
	}
	s.Error("the StatefulSet was never changed")
}

func TestRecreateEndsTheOldOneFirst(t *testing.T) {
	s := tell(t)
	recreate := func(w *workload) { w.strategy, w.replicas = "Recreate", 1 }
	first := s.commit(map[string]string{"deploy/job.yaml": app("worker", "1", recreate, pods(terminateAfter, "1s"))})
	s.makeTrack("shop")
	one := s.live(first)
	s.Expect(one.Spec.Objects[0].Class).To(gomega.Equal(v1alpha1.ClassRecreate))
	second := s.commit(map[string]string{"deploy/job.yaml": app("worker", "2", recreate)})
	s.live(second)
	s.retired(first)

	pods := map[string]*corev1.Pod{}
	for _, fr := range suite.film.of(s.ns) {
		switch obj := fr.obj.(type) {
		case *corev1.Pod:
			notePod(pods, fr, obj)
		case *appsv1.Deployment:
			if fr.release() == second {
				for name, p := range pods {
					s.Expect(p.Labels[v1alpha1.ReleaseLabel]).NotTo(gomega.Equal(first), name+" was there when the new Deployment was")
				}
				return
			}
		}
	}
	s.Error("the new Deployment was never seen")
}

func TestAdoption(t *testing.T) {
	s := tell(t)
	legacy := app("web-legacy", "0") // its pods are labelled app: web-legacy; the Service selects them by two keys
	legacy = strings.ReplaceAll(legacy, "app: web-legacy", "app: web\n        tier: legacy")
	legacy = strings.Replace(legacy, "      app: web\n        tier: legacy", "      app: web\n      tier: legacy", 1)
	former := strings.Replace(service("web"), "    app: web\n", "    app: web\n    tier: legacy\n", 1)
	for _, doc := range []string{legacy, former} {
		_, err := suite.cluster.KubectlInput(s.ctx, doc, "apply", "-n", s.ns, "-f", "-")
		s.must(err)
	}
	s.Eventually(func() []string { return s.podsBehind("web") }).Should(gomega.HaveLen(2))
	before := get[corev1.Service](s, "web")

	first := s.commit(shop("1"))
	s.makeTrack("shop")
	waits := s.until(first, "refused", func(r *v1alpha1.ImmutableRelease) bool {
		return condition(r.Status.Conditions, v1alpha1.AcceptedCondition).Reason == v1alpha1.ObjectOwnedReason
	})
	s.Expect(waits.Status.Phase).To(gomega.Equal(v1alpha1.PhasePending))
	said := condition(waits.Status.Conditions, v1alpha1.AcceptedCondition).Message
	s.Expect(said).To(gomega.ContainSubstring("kubectl annotate -n " + s.ns + " Service web stele.dev/adopt=shop"))
	s.Expect(get[corev1.Service](s, "web").ResourceVersion).To(gomega.Equal(before.ResourceVersion), "untouched")

	// The message says what to type.
	s.kubectl("annotate", "Service", "web", "stele.dev/adopt=shop")
	s.live(first)
	after := get[corev1.Service](s, "web")
	s.Expect(after.UID).To(gomega.Equal(before.UID))
	s.Expect(after.Spec.ClusterIP).To(gomega.Equal(before.Spec.ClusterIP))
	s.Expect(after.Spec.Selector).NotTo(gomega.HaveKey("tier"), "a key of the former manager would send traffic nowhere")
	s.Expect(after.Spec.Selector).To(gomega.HaveKeyWithValue(v1alpha1.ReleaseLabel, first))
	s.Expect(after.Labels).To(gomega.HaveKeyWithValue(v1alpha1.TrackLabel, "shop"))
	var names []string
	for _, p := range s.podsOf(first) {
		names = append(names, p.Name)
	}
	s.Expect(s.podsBehind("web")).To(gomega.ConsistOf(names))
	get[appsv1.Deployment](s, "web-legacy") // still there: it is not the track's
	checkServed(t, s.ns, "web")
}
