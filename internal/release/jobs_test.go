package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// migrates gives a release a Job, and noted an entry of its status.
func migrates(name string) func(*View) {
	return func(v *View) {
		if c := v.Contents[name]; c != nil {
			c.Jobs = []ObjectKey{migrate}
		}
	}
}

func noted(run int32, result v1alpha1.JobResult) option {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Jobs = append(r.Status.Jobs, v1alpha1.ReleaseJob{Name: migrate.Name, Run: run, Result: result, Seen: *at(start)})
	}
}

// job puts the Job of a run into the cluster.
func job(release string, run int32, health Health) func(*View) {
	return func(v *View) {
		v.Runs[RunKey{release, run}].Workloads[migrate] = Workload{Health: health, Message: "1 of 2 pods failed"}
	}
}

func TestJobs(t *testing.T) {
	given := func(releases ...*v1alpha1.ImmutableRelease) *world {
		return given(releases...).serves("a", 1).with(migrates("b"))
	}
	runRows(t, map[string]row{
		"traffic waits for a Job that runs": {
			view: given(active("a", 1), staging("b", 2)).runs("b", 1, Current).with(job("b", 1, InProgress)).View, wantWake: 9 * time.Minute,
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason},
		},
		"traffic waits for a Job that is not there yet": {
			view: given(active("a", 1), staging("b", 2)).runs("b", 1, Current).View, wantWake: 9 * time.Minute,
		},
		"traffic moves when the Job has succeeded": {
			view: given(active("a", 1), staging("b", 2)).runs("b", 1, Current).with(job("b", 1, Current)).View, want: []string{"Switch b/1"},
		},
		"a Job that was seen to succeed may be gone": {
			view: given(active("a", 1), staging("b", 2, noted(1, v1alpha1.JobSucceeded))).runs("b", 1, Current).View, want: []string{"Switch b/1"},
		},
		"the Job of an earlier run does not count": {
			view: given(active("a", 1), staging("b", 2, noted(1, v1alpha1.JobSucceeded), func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 2 })).
				runs("b", 2, Current).View,
			wantWake: 9 * time.Minute,
		},
		"a Job that failed ends the run at once": {
			view: given(active("a", 1), staging("b", 2)).runs("b", 1, InProgress).with(job("b", 1, Failing)).View, want: []string{"Fail b/1 JobFailed"},
		},
		"a Job that was seen to fail ends the run, though it is gone": {
			view: given(active("a", 1), staging("b", 2, noted(1, v1alpha1.JobFailed))).runs("b", 1, Current).View, want: []string{"Fail b/1 JobFailed"},
		},
		"a Job that runs is not cut short for a newer commit": {
			view:        given(active("a", 1), staging("b", 2, stagedAgo(9*time.Minute)), pending("c", 3)).runs("b", 1, Failing).with(job("b", 1, InProgress)).View,
			wantWaiting: map[string]string{"b": v1alpha1.ProgressingReason, "c": v1alpha1.WaitingReason}, wantWake: time.Minute,
		},
		"the deadline ends it all the same": {
			view: given(active("a", 1), staging("b", 2, stagedAgo(10*time.Minute))).runs("b", 1, Current).with(job("b", 1, InProgress)).View,
			want: []string{"Fail b/1 ProgressDeadlineExceeded"},
		},
		"and so does a person's pin": {
			view: given(active("a", 1), staging("b", 2)).runs("b", 1, Current).with(job("b", 1, InProgress)).pinned("a", time.Second).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"a Job that has ended is no reason to wait": {
			view: given(active("a", 1), staging("b", 2, stagedAgo(9*time.Minute)), pending("c", 3)).runs("b", 1, Failing).with(job("b", 1, Current)).View,
			want: []string{"Fail b/1 Preempted"},
		},
		"a release that shares workloads has no Job of its own to wait for": {
			view: given(active("a", 1), staging("b", 2, shares("a", 1))).with(migrates("a")).View, want: []string{"Switch b/1"},
		},
		"the Job of the active run may be gone": {
			view: given(active("a", 1)).with(migrates("a")).View,
		},
		"a release whose Job failed does not run again by itself": {
			view: given(active("a", 1), failed("b", 2, func(r *v1alpha1.ImmutableRelease) { r.Status.Outcome = v1alpha1.OutcomeJobFailed })).View,
		},
	})
}

// The Jobs that a CronJob of an ended run has made are not cut short.
func TestJobsOfSchedules(t *testing.T) {
	report := ObjectKey{"batch", "Job", "report-2871"}
	finishing := func(v *View) {
		v.Runs[RunKey{"a", 1}] = Run{Pods: 1, Live: 1, Workloads: map[ObjectKey]Workload{report: {Health: Current, Finishing: true}}}
	}
	runRows(t, map[string]row{
		"a Job that a schedule has started is left to finish": {
			view:        given(draining("a", 1), active("b", 2)).serves("b", 1).with(finishing).View,
			wantWaiting: map[string]string{"a": v1alpha1.ReplicasRemainReason},
		},
		"what else there is of the run ends": {
			view: given(draining("a", 1), active("b", 2)).serves("b", 1).with(finishing).
				with(func(v *View) { v.Runs[RunKey{"a", 1}].Workloads[cron] = Workload{Health: Current} }).View,
			want: []string{"Terminate a/1"},
		},
		"when it has finished, it goes": {
			view: given(draining("a", 1), active("b", 2)).serves("b", 1).with(finishing).
				with(func(v *View) { v.Runs[RunKey{"a", 1}].Workloads[report] = Workload{Health: Current} }).View,
			want: []string{"Terminate a/1"},
		},
	})
}

// What has ended is noted once, for the last run and the active one.
func TestJobsAreNoted(t *testing.T) {
	for name, tc := range map[string]struct {
		world *world
		want  []v1alpha1.ReleaseJob
	}{
		"running":   {given(staging("a", 1)).runs("a", 1, Current).with(job("a", 1, InProgress)), nil},
		"succeeded": {given(staging("a", 1)).runs("a", 1, Current).with(job("a", 1, Current)), []v1alpha1.ReleaseJob{{Name: "migrate", Run: 1, Result: "Succeeded", Seen: *at(present)}}},
		"failed":    {given(staging("a", 1)).runs("a", 1, Current).with(job("a", 1, Failing)), []v1alpha1.ReleaseJob{{Name: "migrate", Run: 1, Result: "Failed", Seen: *at(present)}}},
		"noted already": {given(staging("a", 1, noted(1, v1alpha1.JobSucceeded))).runs("a", 1, Current).with(job("a", 1, Failing)),
			[]v1alpha1.ReleaseJob{{Name: "migrate", Run: 1, Result: "Succeeded", Seen: *at(start)}}},
		"noted, and gone": {given(active("a", 1, noted(1, v1alpha1.JobSucceeded))).serves("a", 1), []v1alpha1.ReleaseJob{{Name: "migrate", Run: 1, Result: "Succeeded", Seen: *at(start)}}},
		"of a run that is over": {given(staging("a", 1, noted(1, v1alpha1.JobSucceeded), func(r *v1alpha1.ImmutableRelease) { r.Status.Run = 2 })).
			runs("a", 2, Current).with(job("a", 2, InProgress)), nil},
		"being deleted": {given(staging("a", 1)).runs("a", 1, Current).with(job("a", 1, Current)).ends("a", 1, time.Second), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := described(t, tc.world.with(migrates("a")), "a", nil).Status.Jobs
			if diff := cmp.Diff(tc.want, got, cmp.Transformer("none", func(in []v1alpha1.ReleaseJob) []v1alpha1.ReleaseJob { return append([]v1alpha1.ReleaseJob{}, in...) })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
