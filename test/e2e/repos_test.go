package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/repos"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// TestRepositories takes each sample repository through its commits: each to its expected end, and then replaced by the next one.
func TestRepositories(t *testing.T) {
	all, err := repos.All()
	if err != nil {
		t.Fatal(err)
	}
	// The subtests count as stories from now on, though they begin later: somebody may wait for all stories to end.
	suite.stories.Add(1)
	t.Cleanup(suite.stories.Done)
	t.Parallel()
	for _, r := range all {
		t.Run(r.Name, func(t *testing.T) {
			m := &sample{story: tell(t), Repository: r, active: map[string]string{}}
			for n := 1; n <= r.Commits; n++ {
				m.push(n)
				if n == 1 {
					m.makeTracks()
				}
				for i := range r.Tracks {
					m.becomes(r.Tracks[i].Name, n)
				}
			}
			m.alwaysServed()
		})
	}
}

// sample is the story of one sample repository.
type sample struct {
	*story
	*repos.Repository

	commits []string          // ids, the first one first
	active  map[string]string // by track, the release that takes the traffic
}

// push makes the tree of commit n the tip of main.
func (m *sample) push(n int) {
	m.Helper()
	files, err := m.Files(n)
	m.must(err)
	var gone []string // files that this commit deletes
	if n > 1 {
		before, err := m.Files(n - 1)
		m.must(err)
		for _, name := range slices.Sorted(maps.Keys(before)) {
			if _, stays := files[name]; !stays {
				gone = append(gone, name)
			}
		}
	}
	id, err := m.repo.Commit(files, gitserver.Delete(gone...))
	m.must(err)
	m.commits = append(m.commits, id)
}

// makeTracks makes the tracks of the sample; what it has no opinion on is as in other stories.
func (m *sample) makeTracks() {
	m.Helper()
	or := func(d *metav1.Duration, short metav1.Duration) { d.Duration = cmp.Or(d.Duration, short.Duration) }
	for i := range m.Tracks {
		want := m.Tracks[i].DeepCopy().Spec
		m.makeTrack(m.Tracks[i].Name, func(t *v1alpha1.ReleaseTrack) {
			usual := t.Spec
			t.Spec = want
			or(&t.Spec.Interval, usual.Interval)
			or(&t.Spec.Timeout, usual.Timeout)
			or(&t.Spec.Rollout.ProgressDeadline, usual.Rollout.ProgressDeadline)
			or(&t.Spec.Rollout.Drain, usual.Rollout.Drain)
			or(&t.Spec.Rollout.TerminationDeadline, usual.Rollout.TerminationDeadline)
			t.Spec.Source.URL, t.Spec.Source.Ref = usual.Source.URL, usual.Source.Ref
			t.Spec.ServiceAccountName = usual.ServiceAccountName
		})
	}
}

// becomes waits until commit n has come to the end that is expected of it.
func (m *sample) becomes(track string, n int) {
	m.Helper()
	want, name := m.Expected[track][n-1], release.Name(track, m.commits[n-1])
	switch {
	case want.NoRelease:
		m.noRelease(track, name)
	case want.Active():
		m.replaces(track, name, want)
	default:
		m.refusedOrFailed(name, want)
		m.Expect(m.track(track).Status.ActiveRelease).To(gomega.Equal(m.active[track]), "what served serves on")
	}
	if m.active[track] != "" {
		m.present(track, want)
	}
}

// noRelease: the tip was seen, and what runs is what ran.
func (m *sample) noRelease(track, name string) {
	m.Helper()
	revision := "main@sha1:" + m.commits[len(m.commits)-1]
	m.trackUntil(track, "the tip observed", func(t *v1alpha1.ReleaseTrack) bool { return t.Status.ObservedRevision == revision })
	m.Expect(m.kubectl("get", "irel", "-o", "name")).NotTo(gomega.ContainSubstring(name))
	m.Expect(m.track(track).Status.ActiveRelease).To(gomega.Equal(m.active[track]))
}

// replaces: the release takes the traffic, and what ran before it is retired.
func (m *sample) replaces(track, name string, want repos.Expectation) {
	m.Helper()
	r := m.live(name)
	var ignored []string
	for _, i := range r.Spec.Ignored {
		ignored = append(ignored, i.Kind+"/"+i.Name)
	}
	m.Expect(ignored).To(gomega.ConsistOf(want.Ignored))
	if before := m.active[track]; before != "" {
		m.reaches(before, v1alpha1.PhaseRetired)
	}
	m.active[track] = name
	m.Eventually(func() []string { return m.earlier(track, name) }).Should(gomega.ConsistOf(m.names(want.Kept)), "what is left of earlier releases")
	m.Eventually(func() int {
		var pods corev1.PodList
		m.must(suite.client.List(m.ctx, &pods, client.InNamespace(m.ns), client.MatchingLabels{v1alpha1.TrackLabel: track}))
		return len(pods.Items)
	}).Should(gomega.Equal(want.Pods), "pods of the track")
}

// refusedOrFailed: the release says why it does not run, and nothing of it is there.
func (m *sample) refusedOrFailed(name string, want repos.Expectation) {
	m.Helper()
	m.until(name, fmt.Sprintf("%s %s: %q", want.Phase, want.Reason, want.Says), func(r *v1alpha1.ImmutableRelease) bool {
		kind := v1alpha1.AcceptedCondition
		if want.Phase == v1alpha1.PhaseFailed {
			kind = v1alpha1.HealthyCondition
		}
		said := condition(r.Status.Conditions, kind)
		return r.Status.Phase == want.Phase && said.Status == metav1.ConditionFalse && want.Reason == said.Reason &&
			!slices.ContainsFunc(want.Says, func(s string) bool { return !strings.Contains(said.Message, s) })
	})
	m.Eventually(func() []string { return m.leftOf(name) }).Should(gomega.BeEmpty())
	m.neverServed(name)
}

// present: what has to be there is there, and what has to be gone is gone.
func (m *sample) present(track string, want repos.Expectation) {
	m.Helper()
	there := func(objects []string) func() []string {
		return func() []string {
			return strings.Fields(m.kubectl(append([]string{"get", "-o", "name", "--ignore-not-found"}, m.names(objects)...)...))
		}
	}
	if len(want.Has) > 0 {
		m.Eventually(there(want.Has)).Should(gomega.HaveLen(len(want.Has)), "%v", want.Has)
	}
	if len(want.Gone) > 0 {
		m.Eventually(there(want.Gone)).Should(gomega.BeEmpty())
	}
	for _, service := range want.Serves {
		m.Eventually(func() []string { return m.podsBehind(service) }).ShouldNot(gomega.BeEmpty(), track+": "+service)
	}
}

// earlier names what is there of releases of the track other than this one.
func (m *sample) earlier(track, now string) []string {
	m.Helper()
	const kinds = "deployments,replicasets,pods,jobs,cronjobs,configmaps,secrets,horizontalpodautoscalers,poddisruptionbudgets,networkpolicies"
	selector := fmt.Sprintf("%s=%s,%s,%s!=%s", v1alpha1.TrackLabel, track, v1alpha1.ReleaseLabel, v1alpha1.ReleaseLabel, now)
	return strings.Fields(m.kubectl("get", kinds, "-l", selector, "-o", "name"))
}

// names puts commits into names of objects: "<1>" stands for the first one's short id.
func (m *sample) names(patterns []string) []string {
	out := slices.Clone(patterns)
	for i := range out {
		for n, id := range m.commits {
			out[i] = strings.ReplaceAll(out[i], fmt.Sprintf("<%d>", n+1), release.Short(id))
		}
	}
	return out
}

// alwaysServed: the Services of the last commit were never without endpoints since they first had one.
func (m *sample) alwaysServed() {
	m.Helper()
	for _, expect := range m.Expected {
		if slices.ContainsFunc(expect, func(e repos.Expectation) bool { return e.Interrupts }) {
			continue
		}
		for _, service := range expect[len(expect)-1].Serves {
			checkServed(m.T, m.ns, service)
		}
	}
}
