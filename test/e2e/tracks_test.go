package e2e

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func path(p string) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) { t.Spec.Source.Path = p }
}

func TestTwoTracksInOneNamespace(t *testing.T) {
	s := tell(t)
	commit := func(files map[string]string) string {
		id, err := s.repo.Commit(files)
		s.must(err)
		return id
	}
	one := commit(map[string]string{"a/web.yaml": app("a-web", "1"), "a/svc.yaml": service("a-web"),
		"b/web.yaml": app("b-web", "1"), "b/svc.yaml": service("b-web")})
	s.makeTrack("a", path("a"))
	s.makeTrack("b", path("./b"))
	s.live(releaseOf("a", one))
	b := s.live(releaseOf("b", one))

	// A commit under the path of one makes no release of the other.
	two := commit(map[string]string{"a/web.yaml": app("a-web", "2")})
	s.live(releaseOf("a", two))
	s.trackUntil("b", "the tip observed", func(t *v1alpha1.ReleaseTrack) bool { return t.Status.ObservedRevision == "main@sha1:"+two })
	s.Expect(s.kubectl("get", "irel", "-l", v1alpha1.TrackLabel+"=b", "-o", "name")).To(gomega.HaveSuffix(b.Name + "\n"))
	s.Expect(s.release(b.Name).Status.Run).To(gomega.BeEquivalentTo(1))

	// One that is broken does not hold up the other.
	three := commit(map[string]string{"b/web.yaml": app("b-web", "2") + "  replicas: [\n", "a/web.yaml": app("a-web", "3")})
	s.live(releaseOf("a", three))
	broken := s.reaches(releaseOf("b", three), v1alpha1.PhaseRejected)
	s.Expect(condition(broken.Status.Conditions, v1alpha1.AcceptedCondition).Message).To(gomega.ContainSubstring("b/web.yaml"))
	s.Expect(s.track("b").Status.ActiveRelease).To(gomega.Equal(b.Name))

	// An object has one track.
	four := commit(map[string]string{"b/web.yaml": app("b-web", "3"), "b/other.yaml": service("a-web"), "a/web.yaml": app("a-web", "4")})
	s.live(releaseOf("a", four))
	waits := s.until(releaseOf("b", four), "refused", func(r *v1alpha1.ImmutableRelease) bool {
		return condition(r.Status.Conditions, v1alpha1.AcceptedCondition).Reason == v1alpha1.ObjectOwnedReason
	})
	s.Expect(waits.Status.Phase).To(gomega.Equal(v1alpha1.PhasePending))
	s.Expect(condition(waits.Status.Conditions, v1alpha1.AcceptedCondition).Message).To(gomega.And(
		gomega.ContainSubstring("a-web"), gomega.ContainSubstring("belongs to track a")))
	s.trackUntil("b", "the owned object", func(t *v1alpha1.ReleaseTrack) bool { // written after the release
		return condition(t.Status.Conditions, v1alpha1.ReadyCondition).Reason == v1alpha1.ObjectOwnedReason
	})
	s.Expect(get[corev1.Service](s, "a-web").Spec.Selector).To(gomega.HaveKeyWithValue(v1alpha1.ReleaseLabel, releaseOf("a", four)))
	s.Expect(s.leftOf(waits.Name)).To(gomega.BeEmpty(), "nothing is made before the cluster permits it")

	// What was in the way is taken out of Git: it goes on.
	id, err := s.repo.Commit(map[string]string{"b/web.yaml": app("b-web", "4")}, gitserver.Delete("b/other.yaml"))
	s.must(err)
	s.live(releaseOf("b", id))
	checkServed(t, s.ns, "a-web")
	checkServed(t, s.ns, "b-web")
}

func TestNewerCommitsReplaceThoseNotLive(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)

	// One that is failing is given up at once, long before its deadline.
	bad := s.commit(shop("2", pods(behaviour, "crash")))
	s.until(bad, "Staging and failing", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Phase == v1alpha1.PhaseStaging })
	good := s.commit(shop("3"))
	s.live(good)
	gone := s.retired(bad)
	s.Expect(gone.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomePreempted))
	s.Expect(s.leftOf(bad)).To(gomega.BeEmpty())
	s.neverServed(bad)
	s.retired(first)

	// Several commits in one push: each has its release, the last one runs.
	tip, err := s.repo.Head("main")
	s.must(err)
	s.must(s.repo.Branch("side", tip))
	var names []string
	for _, version := range []string{"4", "5", "6"} {
		names = append(names, s.commit(shop(version), gitserver.OnBranch("side")))
	}
	tip, err = s.repo.Head("side")
	s.must(err)
	s.must(s.repo.Branch("main", tip))
	s.live(names[2])
	var last int64
	for _, name := range names[:2] {
		r := s.reaches(name, v1alpha1.PhaseSkipped)
		s.Expect(r.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomeSupersededBeforeStart))
		s.Expect(r.Status.Run).To(gomega.BeZero())
		s.Expect(r.Spec.Sequence).To(gomega.BeNumerically(">", last))
		last = r.Spec.Sequence
	}

	// One that is on its way is not starved by newer ones: it goes live, then the newest does.
	slow := s.commit(shop("7", pods(readyAfter, "4s")))
	s.reaches(slow, v1alpha1.PhaseStaging)
	between := s.commit(shop("8"))
	s.reaches(between, v1alpha1.PhasePending)
	last3 := s.commit(shop("9"))
	newest := s.live(last3)
	s.reaches(between, v1alpha1.PhaseSkipped)
	went := s.retired(slow)
	s.Expect(went.Status.Times.Activated).NotTo(gomega.BeNil())
	s.Expect(went.Status.Times.Activated.Time).To(gomega.BeTemporally("<", newest.Status.Times.Staged.Time))
	checkServed(t, s.ns, "web")
}

func TestCommitWithoutChange(t *testing.T) {
	s := tell(t)
	files := shop("1")
	files["deploy/extra.yaml"] = service("extra", "")
	first := s.commit(files)
	s.makeTrack("shop")
	s.live(first)
	s.Expect(s.kubectl("get", "service", "-o", "name")).To(gomega.ContainSubstring("service/extra"))
	was := uids(s.podsOf(first))

	same := s.commit(map[string]string{"deploy/web.yaml": "# the same\n" + app("web", "1")})
	skipped := s.reaches(same, v1alpha1.PhaseSkipped)
	s.Expect(skipped.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomeNoChange))
	s.Expect(skipped.Spec.Digest).To(gomega.Equal(s.release(first).Spec.Digest))
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))
	s.trackUntil("shop", "Ready", func(t *v1alpha1.ReleaseTrack) bool { return isTrue(t.Status.Conditions, v1alpha1.ReadyCondition) })

	elsewhere, err := s.repo.Commit(map[string]string{"README.md": "not under the path\n"})
	s.must(err)
	s.trackUntil("shop", "the tip observed", func(t *v1alpha1.ReleaseTrack) bool { return t.Status.ObservedRevision == "main@sha1:"+elsewhere })
	s.Expect(s.kubectl("get", "irel", "-o", "name")).NotTo(gomega.ContainSubstring(elsewhere[:10]))

	// Only Stable objects differ: they are applied, what left Git goes, and the workloads stay.
	stable := s.commit(map[string]string{"deploy/service.yaml": service("web", "  sessionAffinity: ClientIP"), "deploy/ingress.yaml": ingress("web", "shop.example")},
		gitserver.Delete("deploy/extra.yaml"))
	guest := s.live(stable)
	s.Expect(guest.Spec.WorkloadsFrom).To(gomega.Equal(first))
	s.Expect(guest.Status.Workloads).To(gomega.HaveValue(gomega.Equal(v1alpha1.RunReference{Release: first, Run: 1})))
	s.Expect(get[corev1.Service](s, "web").Spec.SessionAffinity).To(gomega.Equal(corev1.ServiceAffinityClientIP))
	s.Expect(s.kubectl("get", "ingress", "web", "-o", "jsonpath={.spec.rules[0].host}")).To(gomega.Equal("shop.example"))
	s.stays(3*time.Second, func() error {
		s.Expect(uids(s.podsOf(first))).To(gomega.Equal(was), "the same pods serve")
		return nil
	})
	s.Eventually(func() string { return s.kubectl("get", "service", "-o", "name") }, 30*time.Second, 100*time.Millisecond).ShouldNot(gomega.ContainSubstring("service/extra"))
	s.Expect(uids(s.podsOf(first))).To(gomega.Equal(was), "the same pods serve")
	host := s.reaches(first, v1alpha1.PhaseDraining)
	s.Expect(condition(host.Status.Conditions, v1alpha1.ReplicasTerminatedCondition).Reason).To(gomega.Equal(v1alpha1.WorkloadsInUseReason))

	next := s.commit(shop("2"))
	s.live(next)
	s.retired(first)
	s.retired(stable)
	s.Expect(s.kubectl("get", "ingress", "-o", "name")).To(gomega.ContainSubstring("web"), "it is still in Git")
	checkServed(t, s.ns, "web")
}
