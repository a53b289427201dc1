package releasetrack

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/render"
)

func TestTickBetween(t *testing.T) {
	three := time.Date(2026, time.March, 3, 3, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		spec     batchv1.CronJobSpec
		from, to time.Duration
		want     bool
	}{
		"a tick within":           {batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: ptr.To("Etc/UTC")}, -time.Second, time.Second, true},
		"at the end":              {batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: ptr.To("Etc/UTC")}, -time.Second, 0, true},
		"at the beginning":        {batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: ptr.To("Etc/UTC")}, 0, time.Second, false},
		"before":                  {batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: ptr.To("Etc/UTC")}, time.Second, 2 * time.Second, false},
		"in another time zone":    {batchv1.CronJobSpec{Schedule: "0 4 * * *", TimeZone: ptr.To("Europe/Berlin")}, -time.Second, time.Second, true},
		"of another time zone":    {batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: ptr.To("Europe/Berlin")}, -time.Second, time.Second, false},
		"suspended":               {batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: ptr.To("Etc/UTC"), Suspend: ptr.To(true)}, -time.Second, time.Second, false},
		"no schedule":             {batchv1.CronJobSpec{Schedule: "whenever"}, -time.Second, time.Second, false},
		"no such time zone":       {batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: ptr.To("Mars/Olympus")}, -time.Second, time.Second, false},
		"a day that never comes":  {batchv1.CronJobSpec{Schedule: "0 0 31 2 *", TimeZone: ptr.To("Etc/UTC")}, -time.Hour, time.Hour, false},
		"every minute, ten hours": {batchv1.CronJobSpec{Schedule: "@every 1m"}, 0, 10 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			if tick, got := tickBetween(&tc.spec, three.Add(tc.from), three.Add(tc.to)); got != tc.want {
				t.Errorf("got %v, %s", got, tick)
			}
		})
	}
}

// A tick that fell into the switch is told, if the CronJob was there before: one that is new has missed nothing.
func TestMissedScheduleIsTold(t *testing.T) {
	manifest := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: report}\nspec: {schedule: \"* * * * *\", jobTemplate: {spec: {template: {spec: {}}}}}\n"
	bundle, err := render.Build(fstest.MapFS{"deploy/a.yaml": {Data: []byte(manifest)}}, "deploy", render.Options{Namespace: "shop", Track: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	rel := newRelease("2", 2, staging)
	stamped, err := bundle.Stamp(identity(rel, 1))
	if err != nil {
		t.Fatal(err)
	}
	has := func(r *v1alpha1.ImmutableRelease) {
		r.Spec.Objects = []v1alpha1.ReleaseObject{{Group: "batch", Kind: "CronJob", Name: "report"}}
	}
	for name, tc := range map[string]struct {
		active *v1alpha1.ImmutableRelease
		ago    time.Duration
		want   int
	}{
		"a tick within":            {newRelease("1", 1, active, has), 90 * time.Second, 1},
		"no tick within":           {newRelease("1", 1, active, has), 0, 0},
		"the CronJob is new":       {newRelease("1", 1, active), 90 * time.Second, 0},
		"the release is the first": {nil, 90 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := newReconciler(t), newScopeOf(newTrack(), rel)
			if tc.active != nil {
				s.addRelease(tc.active)
				s.plan.Active = tc.active.Name
			}
			r.noteMissed(s, rel, stamped, present.Add(-tc.ago))
			told := publishedBy(r)
			if len(told) != tc.want {
				t.Fatalf("told %v", told)
			}
			for _, e := range told {
				if !strings.HasPrefix(e, "Warning MissedSchedule") || !strings.Contains(e, "--from=cronjob/report-2222222222") {
					t.Errorf("told %q", e)
				}
			}
		})
	}
}
