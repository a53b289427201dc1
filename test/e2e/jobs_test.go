package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// job is a Job in Git; extra lines go into its spec, annotations on its pods.
func job(name, version, extra string, annotations ...string) string {
	return fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: %s\nspec:\n%s%s", name, extra, jobPods(2, name, version, annotations...))
}

// cronJob makes Jobs on New Year's Eve.
func cronJob(name, version string, annotations ...string) string {
	return fmt.Sprintf("apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: %s\nspec:\n  schedule: \"0 0 31 12 *\"\n  jobTemplate:\n    spec:\n%s",
		name, jobPods(6, name, version, annotations...))
}

func jobPods(indent int, name, version string, annotations ...string) string {
	text := fmt.Sprintf("template:\n  metadata:\n    labels: {app: %s}\n    annotations:\n      example.com/version: %q\n", name, version)
	for i := 0; i+1 < len(annotations); i += 2 {
		text += fmt.Sprintf("      %s: %q\n", annotations[i], annotations[i+1])
	}
	text += fmt.Sprintf("  spec:\n    restartPolicy: Never\n    containers:\n    - name: %s\n      image: %s:%s\n", name, name, version)
	margin := strings.Repeat(" ", indent)
	return margin + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+margin) + "\n"
}

func TestJobs(t *testing.T) {
	s := tell(t)
	files := shop("1")
	files["deploy/migrate.yaml"] = job("migrate", "1", "  ttlSecondsAfterFinished: 0\n", readyAfter, "3s")
	files["deploy/report.yaml"] = cronJob("report", "1", behaviour, "never-ready")
	first := s.commit(files)
	s.makeTrack("shop", progressDeadline(60))

	// Traffic waits for the Job, which stays as long as its run.
	s.until(first, "a Job that runs", func(r *v1alpha1.ImmutableRelease) bool {
		c := condition(r.Status.Conditions, v1alpha1.ReadyCondition)
		return r.Status.Phase == v1alpha1.PhaseStaging && strings.Contains(c.Message, "Job migrate: it runs")
	})
	s.Expect(s.kubectl("get", "cronjob", "-o", "name")).To(gomega.BeEmpty(), "it starts at the switch")
	done := s.live(first)
	s.Expect(done.Status.Jobs).To(gomega.HaveLen(1))
	s.Expect(done.Status.Jobs[0].Name).To(gomega.Equal("migrate"))
	s.Expect(done.Status.Jobs[0].Result).To(gomega.Equal(v1alpha1.JobSucceeded))
	migrated := get[batchv1.Job](s, "migrate"+suffixOf(first))
	s.Expect(get[batchv1.CronJob](s, "report"+suffixOf(first)).Spec.JobTemplate.Labels).To(gomega.HaveKeyWithValue(v1alpha1.ReleaseLabel, first))

	// The Job of the active run may go: nothing is run again for it.
	s.kubectl("delete", "job", migrated.Name, "--as="+controller("ttl-after-finished-controller").UserName, "--wait=false")
	s.Eventually(func() string { return s.kubectl("get", "job", "-o", "name") }).Should(gomega.BeEmpty())
	s.stays(3*time.Second, func() error {
		r := s.release(first)
		s.Expect(r.Status.Run).To(gomega.BeEquivalentTo(1))
		s.Expect(s.kubectl("get", "job", "-o", "name")).To(gomega.BeEmpty())
		return nil
	})

	// A Job that the schedule has started is left to finish when its release ends.
	s.fire("report-now", "report"+suffixOf(first))
	s.Eventually(func() string {
		return s.kubectl("get", "pod", "-l", "job-name=report-now", "-o", "jsonpath={.items[*].status.phase}")
	}).Should(gomega.Equal("Running"))
	s.Expect(isTrue(s.release(first).Status.Conditions, v1alpha1.ReadyCondition)).To(gomega.BeTrue(), "a Job of a schedule is no part of its health")
	second := s.commit(map[string]string{"deploy/web.yaml": app("web", "2"), "deploy/migrate.yaml": job("migrate", "2", ""), "deploy/report.yaml": cronJob("report", "2")})
	s.live(second)
	s.Eventually(func() string { return s.kubectl("get", "cronjob", "-o", "name") }).Should(gomega.Equal("cronjob.batch/report" + suffixOf(second) + "\n"))
	s.until(first, "its schedule's Job left to finish", func(r *v1alpha1.ImmutableRelease) bool {
		c := condition(r.Status.Conditions, v1alpha1.ReadyCondition)
		return r.Status.Replicas.Remaining == 1 && strings.Contains(c.Message, "report-now")
	})
	s.stays(3*time.Second, func() error {
		running := get[batchv1.Job](s, "report-now")
		s.Expect(running.DeletionTimestamp).To(gomega.BeNil())
		s.Expect(running.Status.Active).To(gomega.BeEquivalentTo(1))
		return nil
	})
	s.nodeSays("none", s.podsWith("job-name", "report-now")...)
	s.retired(first)
	s.Expect(s.kubectl("get", "job", "-o", "name")).To(gomega.Equal("job.batch/migrate" + suffixOf(second) + "\n"))

	// A Job that fails ends the release at once; the old one never stopped serving.
	third := s.commit(map[string]string{"deploy/web.yaml": app("web", "3"), "deploy/migrate.yaml": job("migrate", "3", "  activeDeadlineSeconds: 1\n", behaviour, "never-ready")})
	failed := s.reaches(third, v1alpha1.PhaseFailed)
	s.Expect(failed.Status.Outcome).To(gomega.Equal(v1alpha1.OutcomeJobFailed))
	s.Expect(condition(failed.Status.Conditions, v1alpha1.HealthyCondition).Message).To(gomega.ContainSubstring("Job migrate: it failed"))
	s.trackUntil("shop", "the Job's failure", func(t *v1alpha1.ReleaseTrack) bool {
		c := condition(t.Status.Conditions, v1alpha1.ReadyCondition)
		return c.Reason == v1alpha1.ReleaseFailedReason && strings.Contains(c.Message, "Job migrate")
	})
	s.neverServed(third)
	s.Expect(s.kubectl("get", "cronjob", "-o", "name")).To(gomega.Equal("cronjob.batch/report" + suffixOf(second) + "\n"))

	// A rollback is a new run: its Jobs run again.
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, first))
	s.until(first, "run 2 active", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun == 2 })
	s.Expect(s.release(first).Status.Jobs).To(gomega.ConsistOf(gomega.HaveField("Run", gomega.BeEquivalentTo(2))))
	s.retired(second)

	s.fire("report-late", strings.TrimPrefix(strings.TrimSpace(s.kubectl("get", "cronjob", "-o", "name")), "cronjob.batch/"))
	s.kubectl("delete", "rtrack", "shop", "--timeout=60s")
	s.Expect(s.kubectl("get", "cronjob,job,pod,deploy", "-o", "name")).To(gomega.BeEmpty())
}

// fire starts a Job of a schedule, as the controller does on New Year's Eve.
func (s *story) fire(name, schedule string) {
	s.Helper()
	s.kubectl("create", "job", name, "--from=cronjob/"+schedule, "--as="+controller("cronjob-controller").UserName)
}

// podsWith lists the pods that have a label.
func (s *story) podsWith(label, value string) []corev1.Pod {
	s.Helper()
	var list corev1.PodList
	s.must(suite.client.List(s.ctx, &list, client.InNamespace(s.ns), client.MatchingLabels{label: value}))
	return list.Items
}

func TestDaemonSetIsReplacedInPlace(t *testing.T) {
	s := tell(t)
	agent := func(version string, change ...func(*workload)) string {
		w := workload{kind: "DaemonSet", name: "agent", version: version, config: "agent-config", pods: map[string]string{}}
		for _, c := range change {
			c(&w)
		}
		return strings.Replace(w.yaml(), "  replicas: 0\n", "", 1)
	}
	files := shop("1")
	files["deploy/agent.yaml"], files["deploy/agent-config.yaml"] = agent("1"), configMap("agent-config", "one")
	first := s.commit(files)
	s.makeTrack("shop", progressDeadline(15))
	r := s.live(first)
	s.Expect(r.Status.Replicas.Desired).To(gomega.BeEquivalentTo(5), "two of web, and one on each of three nodes")
	set := get[appsv1.DaemonSet](s, "agent")
	s.Expect(set.Spec.Template.Labels).To(gomega.HaveKey(v1alpha1.ContentLabel))
	agents := func() string {
		return s.kubectl("get", "pod", "-l", "app=agent", "-o", "jsonpath={.items[*].metadata.uid}")
	}
	was := agents()

	second := s.commit(shop("2"))
	s.live(second)
	s.Expect(agents()).To(gomega.Equal(was), "untouched when unchanged")

	// New content that never gets ready is taken back, with the pods that have it.
	third := s.commit(map[string]string{"deploy/agent.yaml": agent("2", pods(behaviour, "never-ready"))})
	s.reaches(third, v1alpha1.PhaseFailed)
	s.Eventually(func() error {
		back := get[appsv1.DaemonSet](s, "agent")
		if back.Spec.Template.Labels[v1alpha1.ContentLabel] != set.Spec.Template.Labels[v1alpha1.ContentLabel] || back.Status.NumberReady != 3 ||
			back.Status.UpdatedNumberScheduled != 3 {
			return fmt.Errorf("content %s, %d ready", back.Spec.Template.Labels[v1alpha1.ContentLabel], back.Status.NumberReady)
		}
		return nil
	}).Should(gomega.Succeed())

	fourth := s.commit(map[string]string{"deploy/agent.yaml": agent("3")})
	s.live(fourth)
	s.Expect(s.kubectl("get", "pod", "-l", "app=agent", "-o", "jsonpath={.items[*].spec.containers[0].image}")).To(gomega.Equal("agent:3 agent:3 agent:3"))
	s.kubectl("delete", "rtrack", "shop", "--timeout=60s")
	s.Expect(s.kubectl("get", "ds,pod", "-o", "name")).To(gomega.BeEmpty())
}
