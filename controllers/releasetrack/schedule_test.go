package releasetrack

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"
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
