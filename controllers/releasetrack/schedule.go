package releasetrack

import (
	"fmt"
	"time"
	_ "time/tzdata" // a schedule can name any time zone, and the image has none

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/render"
)

// noteMissed records a tick of a schedule that fell between the deletion of the old CronJob and the creation of the new one: neither
// starts a Job for it.
func (r *Reconciler) noteMissed(s *scope, rel *v1alpha1.ImmutableRelease, st *render.Stamped, from time.Time) {
	now := r.Clock.Now()
	for _, o := range st.Objects {
		if o.Object.GetKind() != "CronJob" || !s.replaces(o.Source) {
			continue
		}
		if tick, missed := tickBetween(scheduleOf(o.Object), from, now); missed {
			r.event(rel, corev1.EventTypeWarning, v1alpha1.MissedScheduleReason, "Switch", fmt.Sprintf(
				"CronJob %s: the run of %s fell into the switch and was not started; start it with kubectl create job --from=cronjob/%s NAME",
				o.Source.Object.GetName(), tick.UTC().Format(time.RFC3339), o.Object.GetName()))
		}
	}
}

// scheduleOf reads when a CronJob starts Jobs, and nothing else: quantities in its pods may take minutes to read.
func scheduleOf(u *unstructured.Unstructured) *batchv1.CronJobSpec {
	spec := &batchv1.CronJobSpec{}
	spec.Schedule, _, _ = unstructured.NestedString(u.Object, "spec", "schedule")
	if suspend, ok, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); ok {
		spec.Suspend = &suspend
	}
	if zone, ok, _ := unstructured.NestedString(u.Object, "spec", "timeZone"); ok {
		spec.TimeZone = &zone
	}
	return spec
}

// replaces: the active release has the object too.
func (s *scope) replaces(o *render.Object) bool {
	active := s.releases[s.plan.Active]
	return active != nil && s.activeHas(o)
}

// tickBetween finds the first time of a schedule after from that is not after to. A schedule that cannot be read is the API
// server's to refuse.
func tickBetween(spec *batchv1.CronJobSpec, from, to time.Time) (time.Time, bool) {
	if ptr.Deref(spec.Suspend, false) {
		return time.Time{}, false
	}
	schedule, err := cron.ParseStandard(spec.Schedule)
	if err != nil {
		return time.Time{}, false
	}
	zone := time.Local
	if spec.TimeZone != nil {
		if zone, err = time.LoadLocation(*spec.TimeZone); err != nil {
			return time.Time{}, false
		}
	}
	// Next is after its argument; a tick at the very moment of from was the old CronJob's.
	tick := schedule.Next(from.In(zone))
	return tick, !tick.IsZero() && !tick.After(to)
}
