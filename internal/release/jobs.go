package release

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// jobState is what is known of one Job of the staging run: what was noted stands, also when the object is gone by now.
func (p *planner) jobState(run Run, job ObjectKey) (result v1alpha1.JobResult, message string) {
	noted := JobResult(p.staging, p.staging.Status.Run, job.Name)
	w, ok := run.Workloads[job]
	switch {
	case !ok && noted != "":
		return noted, "it has finished, and is gone"
	case !ok:
		return "", "not there yet"
	case noted != "":
		return noted, w.Message
	case w.Health == Current:
		return v1alpha1.JobSucceeded, w.Message
	case w.Health == Failing:
		return v1alpha1.JobFailed, w.Message
	}
	return "", w.Message
}

// ownJobs are the Jobs of the staging run. One that shares workloads has none: they have run with these.
func (p *planner) ownJobs(content *Content) []ObjectKey {
	if content == nil || Key(p.staging).Release != p.staging.Name {
		return nil
	}
	return content.Jobs
}

// failForJobs ends the run when one of its Jobs has failed for good: no deadline makes it succeed.
func (p *planner) failForJobs(run Run, content *Content) bool {
	var failed []string
	for _, job := range p.ownJobs(content) {
		if result, message := p.jobState(run, job); result == v1alpha1.JobFailed {
			failed = append(failed, fmt.Sprintf("Job %s: %s", job.Name, message))
		}
	}
	if len(failed) == 0 {
		return false
	}
	slices.Sort(failed)
	p.plan.Steps = slices.DeleteFunc(p.plan.Steps, func(s Step) bool { return s.Release == p.staging.Name })
	p.add(Step{Kind: Fail, Release: p.staging.Name, Run: p.staging.Status.Run, Outcome: v1alpha1.OutcomeJobFailed,
		Message: strings.Join(failed, "; ")})
	return true
}

// waitForJobs waits until every Job of the run has succeeded.
func (p *planner) waitForJobs(run Run, content *Content) bool {
	var running []string
	for _, job := range p.ownJobs(content) {
		if result, message := p.jobState(run, job); result != v1alpha1.JobSucceeded {
			running = append(running, fmt.Sprintf("Job %s: %s", job.Name, message))
		}
	}
	slices.Sort(running)
	return p.waitWhile(strings.Join(running, "; "))
}

// jobRuns: a Job of the staging run was started and has not ended.
func (p *planner) jobRuns() bool {
	run := p.view.Runs[Key(p.staging)]
	for _, job := range p.ownJobs(p.view.Contents[p.staging.Name]) {
		if w, ok := run.Workloads[job]; ok && !w.Deleting && w.Health == InProgress && JobResult(p.staging, p.staging.Status.Run, job.Name) == "" {
			return true
		}
	}
	return false
}

// jobs notes in status which Jobs of the last run have ended, and forgets those of runs that nobody asks for any more.
func (d *describer) jobs() {
	r := d.r
	r.Status.Jobs = slices.DeleteFunc(r.Status.Jobs, func(j v1alpha1.ReleaseJob) bool {
		return j.Run != r.Status.Run && j.Run != r.Status.ActiveRun
	})
	content := d.view.Contents[r.Name]
	if content == nil || r.Status.Run == 0 || Key(r).Release != r.Name {
		return
	}
	run := d.view.Runs[Key(r)]
	for _, job := range content.Jobs {
		w, ok := run.Workloads[job]
		if !ok || w.Deleting || w.Health == InProgress || JobResult(r, r.Status.Run, job.Name) != "" {
			continue
		}
		result := v1alpha1.JobSucceeded
		if w.Health == Failing {
			result = v1alpha1.JobFailed
		}
		r.Status.Jobs = append(r.Status.Jobs, v1alpha1.ReleaseJob{Name: job.Name, Run: r.Status.Run, Result: result, Seen: microTime(d.view.Now)})
	}
}

// microTime cuts a time to what the API stores, so that what is read back equals it.
func microTime(t time.Time) metav1.MicroTime {
	return metav1.NewMicroTime(t.Truncate(time.Microsecond))
}
