package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

// settledFor is how long a settled world is watched.
const settledFor = 10 * time.Second

// TestNothingIsPersistedInASettledWorld comes first: nothing else runs in the cluster yet.
func TestNothingIsPersistedInASettledWorld(t *testing.T) {
	s := tellAlone(t)
	files := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		files[name+"/web.yaml"] = app(name+"-web", "1", withConfig(name+"-config", name+"-secret"))
		files[name+"/svc.yaml"] = service(name + "-web")
		files[name+"/config.yaml"] = configMap(name+"-config", "hello")
		files[name+"/secret.yaml"] = secret(name+"-secret", "one")
		files[name+"/pdb.yaml"] = budget(name + "-web")
		files[name+"/db.yaml"] = workload{kind: "StatefulSet", name: name + "-db", replicas: 1, version: "1", config: name + "-config"}.yaml()
	}
	first, err := s.repo.Commit(files)
	s.must(err)
	for _, name := range []string{"a", "b", "c"} {
		s.makeTrack(name, path(name), progressDeadline(5))
		s.live(releaseOf(name, first))
	}
	// One is replaced (its config stays, for the StatefulSet names it), one fails, one is refused: these states are settled, too.
	second, err := s.repo.Commit(map[string]string{"a/web.yaml": app("a-web", "2"),
		"b/web.yaml": app("b-web", "2", pods(behaviour, "never-ready")), "c/web.yaml": "kind: ["})
	s.must(err)
	s.live(releaseOf("a", second))
	s.reaches(releaseOf("c", second), v1alpha1.PhaseRejected)
	s.until(releaseOf("b", second), "Failed and gone", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Phase == v1alpha1.PhaseFailed && isTrue(r.Status.Conditions, v1alpha1.DeletableCondition)
	})
	s.reaches(releaseOf("a", first), v1alpha1.PhaseRetired)

	// Controllers of Kubernetes finish what they do, then nobody writes.
	versions := s.versions()
	s.Eventually(func() map[string]string {
		was := versions
		time.Sleep(2 * time.Second)
		versions = s.versions()
		return difference(was, versions)
	}).Should(gomega.BeEmpty())
	time.Sleep(settledFor)
	s.Expect(difference(versions, s.versions())).To(gomega.BeEmpty(), "nobody asked for anything")
}

// versions are the resource versions of all objects in the cluster that are, or may be made, by or for Stele. Leases, events
// and nodes change by themselves.
func (s *story) versions() map[string]string {
	s.Helper()
	kinds := "releasetracks,immutablereleases,deployments,replicasets,statefulsets,pods,services,endpointslices,endpoints,configmaps," +
		"secrets,serviceaccounts,pvc,pdb,hpa,ingresses,controllerrevisions,pv,namespaces,crd"
	out := s.kubectl("get", kinds, "-A", "-o",
		`jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	versions := map[string]string{}
	for line := range strings.Lines(out) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			versions[name] = version
		}
	}
	if len(versions) < 50 {
		s.Fatalf("only %d objects were listed", len(versions))
	}
	return versions
}

func difference(before, after map[string]string) map[string]string {
	out := map[string]string{}
	for name, version := range after {
		if before[name] != version {
			out[name] = before[name] + " -> " + version
		}
	}
	for name := range before {
		if after[name] == "" {
			out[name] = "gone"
		}
	}
	return out
}

// moment is a point of a rollout at which the operator is killed.
type moment struct {
	name string
	// reached looks at the film for what the release of that name has got to; nil: after a random time.
	reached func(frames []frame, release, old string) bool
}

var moments = []moment{
	{"the release is made", func(f []frame, release, _ string) bool {
		return anyFrame[*v1alpha1.ImmutableRelease](f, func(fr frame) bool { return fr.obj.GetName() == release })
	}},
	{"its run is begun", func(f []frame, release, _ string) bool {
		return anyRelease(f, release, func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Run > 0 })
	}},
	{"its first object is made", func(f []frame, release, _ string) bool {
		return anyFrame[*corev1.ConfigMap](f, func(fr frame) bool { return fr.release() == release })
	}},
	{"one of its Deployments is made", func(f []frame, release, _ string) bool {
		return anyFrame[*appsv1.Deployment](f, func(fr frame) bool { return fr.release() == release })
	}},
	{"the first Service has moved", func(f []frame, release, _ string) bool {
		return anyFrame[*corev1.Service](f, func(fr frame) bool {
			svc, ok := fr.obj.(*corev1.Service)
			return ok && svc.Spec.Selector[v1alpha1.ReleaseLabel] == release
		})
	}},
	{"it is active", func(f []frame, release, _ string) bool {
		return anyRelease(f, release, func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun > 0 })
	}},
	{"the old one is superseded", func(f []frame, _, old string) bool {
		return anyRelease(f, old, func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Times.Superseded != nil })
	}},
	{"the old one is being deleted", func(f []frame, _, old string) bool {
		return anyFrame[*appsv1.Deployment](f, func(fr frame) bool { return fr.release() == old && fr.obj.GetDeletionTimestamp() != nil })
	}},
	{name: "a random time"}, {name: "another random time"},
}

func anyFrame[T client.Object](frames []frame, check func(frame) bool) bool {
	return slices.ContainsFunc(frames, func(fr frame) bool {
		_, ok := fr.obj.(T)
		return ok && check(fr)
	})
}

func anyRelease(frames []frame, name string, check func(*v1alpha1.ImmutableRelease) bool) bool {
	return slices.ContainsFunc(frames, func(fr frame) bool {
		r, ok := fr.obj.(*v1alpha1.ImmutableRelease)
		return ok && r.Name == name && check(r)
	})
}

// TestOperatorIsKilled ends the operator, and the writer of the log, with SIGKILL at many points of rollouts, one rollout after the other. Each ends as
// if nothing had happened, traffic never pointed at nothing, and the log tells each step once.
func TestOperatorIsKilled(t *testing.T) {
	s := tellAlone(t)
	version := func(v string) map[string]string {
		slow := pods(readyAfter, "300ms")
		return map[string]string{
			"deploy/web.yaml": app("web", v, slow, withConfig("config", "")), "deploy/api.yaml": app("api", v, slow),
			"deploy/svc.yaml": service("web"), "deploy/svc2.yaml": service("api"), "deploy/config.yaml": configMap("config", v),
			"deploy/hpa.yaml": autoscaler("web", 2, 4), "deploy/pdb.yaml": budget("web"),
		}
	}
	old := s.commit(version("0"))
	s.makeTrack("shop")
	s.live(old)
	for i, m := range moments {
		next := s.commit(version(strconv.Itoa(i + 1)))
		s.killAt(m, next, old)
		s.converged(next, old, m.name)
		old = next
	}

	// A rollback is no different.
	names := strings.Fields(s.kubectl("get", "irel", "--sort-by=.spec.sequence", "-o", "jsonpath={.items[*].metadata.name}"))
	var releases []*v1alpha1.ImmutableRelease
	for _, name := range names {
		releases = append(releases, s.release(name))
	}
	s.toldOnce(releases)
	back := names[len(names)-3]
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, back))
	s.killAt(moments[3], back, old)
	s.converged(back, old, "a rollback")
	s.Expect(s.release(back).Status.ActiveRun).To(gomega.BeEquivalentTo(2))
	for _, name := range []string{"web", "api"} {
		checkServed(t, s.ns, name)
	}
	s.onlyOneHPA()
}

// killAt waits for the moment, kills the operator, and starts another.
func (s *story) killAt(m moment, release, old string) {
	s.Helper()
	if m.reached == nil {
		wait := rand.N(3 * time.Second)
		s.Logf("killed after %s", wait)
		time.Sleep(wait)
	} else {
		before := len(suite.film.of(s.ns))
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		s.must(filmUntil(ctx, s.ns, func(f []frame) bool { return m.reached(f[min(before, len(f)):], release, old) }))
	}
	s.must(operator().Kill())
	s.must(ledger().Kill())
	s.must(startOperator(s.ctx))
	s.must(startLedger(s.ctx))
}

// converged: the release is active and alone.
func (s *story) converged(release, old, where string) {
	s.Helper()
	r := s.live(release)
	s.retired(old)
	suffixes := map[string]bool{}
	for _, d := range s.deployments() {
		suffixes[d[strings.LastIndex(d, "-")+1:]] = true
	}
	s.Expect(suffixes).To(gomega.HaveLen(1), where)
	s.Expect(s.deployments()).To(gomega.HaveLen(2), where)
	s.Eventually(func() int {
		return len(strings.Fields(s.kubectl("get", "pods,cm,hpa,pdb", "-l", v1alpha1.ReleaseLabel, "-o", "name")))
	}).
		Should(gomega.Equal(4+1+1+1), where)
	s.Expect(strings.Fields(s.kubectl("get", "pods,cm,hpa,pdb", "-l", fmt.Sprintf("%s=%s,%s=%d", v1alpha1.ReleaseLabel, release, v1alpha1.RunLabel,
		r.Status.ActiveRun), "-o", "name"))).To(gomega.HaveLen(7), where)
	phases := s.kubectl("get", "irel", "-o", `jsonpath={range .items[*]}{.status.phase} {end}`)
	s.Expect(strings.Count(phases, "Active")).To(gomega.Equal(1), where+": "+phases)
	s.Expect(strings.Count(phases, "Retired")).To(gomega.Equal(len(strings.Fields(phases))-1), where+": "+phases)
}

// onlyOneHPA: two autoscalers of one workload were never there together.
func (s *story) onlyOneHPA() {
	s.Helper()
	there := map[string]bool{}
	for _, fr := range framesOf[*autoscalingv2.HorizontalPodAutoscaler](suite.film.of(s.ns)) {
		if there[fr.obj.GetName()] = true; fr.removed {
			delete(there, fr.obj.GetName())
		}
		if len(there) > 1 {
			s.Errorf("two autoscalers at version %d: %v", fr.version, there)
		}
	}
}

// TestAnotherOperatorTakesOver runs two operators with leader election.
func TestAnotherOperatorTakesOver(t *testing.T) {
	s := tellAlone(t)
	s.must(operator().Stop())
	s.Cleanup(func() { s.must(startOperator(context.Background())) })
	first := s.startCandidate("one")
	s.Eventually(func() bool { return leads(first) }).Should(gomega.BeTrue())
	second := s.startCandidate("two")
	s.makeTrack("shop")
	one := s.commit(shop("1"))
	s.live(one)
	s.Expect(leads(second)).To(gomega.BeFalse(), "one at a time")

	two := s.commit(shop("2", pods(readyAfter, "2s")))
	s.reaches(two, v1alpha1.PhaseStaging)
	s.must(first.Kill())
	s.live(two)
	s.retired(one)
	s.Expect(leads(second)).To(gomega.BeTrue())

	// A clean stop gives the lease back: the next one need not wait until it expires.
	third := s.startCandidate("three")
	began := time.Now()
	s.must(second.Stop())
	s.Expect(time.Since(began)).To(gomega.BeNumerically("<", 10*time.Second), "SIGTERM ends it within seconds")
	s.Expect(second.ExitCode()).To(gomega.BeZero())
	s.Eventually(func() bool { return leads(third) }).WithTimeout(12 * time.Second).Should(gomega.BeTrue())
	three := s.commit(shop("3"))
	s.live(three)
	checkServed(t, s.ns, "web")
}

func (s *story) startCandidate(name string) *testkit.Operator {
	s.Helper()
	o, err := operatorIn(s.ctx, filepath.Join(s.TempDir(), name), "--enable-leader-election")
	s.must(err)
	s.Cleanup(func() { _ = o.Stop() })
	return o
}

// leads asks an operator's metrics whether it is the leader.
func leads(o *testkit.Operator) bool {
	return slices.ContainsFunc(strings.Split(metricsOf(o), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "leader_election_master_status{") && strings.HasSuffix(line, " 1")
	})
}

// metricsOf reads an operator's metrics; "" when it does not answer.
func metricsOf(o *testkit.Operator) string {
	resp, err := http.Get(o.MetricsURL)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// podsBehind names the ready pods that a Service's endpoints point at.
func (s *story) podsBehind(service string) []string {
	s.Helper()
	list := &discoveryv1.EndpointSliceList{}
	s.must(suite.client.List(s.ctx, list, client.InNamespace(s.ns), client.MatchingLabels{discoveryv1.LabelServiceName: service}))
	var out []string
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.TargetRef != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				out = append(out, e.TargetRef.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}
