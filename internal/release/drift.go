package release

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Drift is an object of the active run that is not what the operator made it.
type Drift struct {
	// Key of the object in Git; for a pod, kind Pod and the name of its workload.
	Key   ObjectKey
	Class v1alpha1.ObjectClass
	// Change: whether it was changed or deleted.
	Change v1alpha1.DriftChange
	// Paths that differ, and the programs that own them.
	Paths, Managers []string
}

// CompareDrift orders drift by object.
func CompareDrift(a, b Drift) int {
	return cmp.Or(cmp.Compare(a.Key.Group, b.Key.Group), cmp.Compare(a.Key.Kind, b.Key.Kind), cmp.Compare(a.Key.Name, b.Key.Name))
}

// judgeDrift says what is to be done about each object that has drifted. A new run is begun when nothing else is under way (keepActive).
func (p *planner) judgeDrift() {
	if p.active == nil {
		return
	}
	for _, d := range slices.SortedFunc(slices.Values(p.view.Drift), CompareDrift) {
		p.plan.Drift = append(p.plan.Drift, v1alpha1.ObjectDrift{Group: d.Key.Group, Kind: d.Key.Kind, Name: d.Key.Name, Run: p.active.Status.ActiveRun,
			Change: d.Change, Paths: d.Paths, Managers: d.Managers, Answer: p.answerTo(d)})
	}
}

// answerTo: what is deleted comes back; what is changed is replaced once. The same change again, after that, is left to people: two
// that undo each other's work would go on for ever.
func (p *planner) answerTo(d Drift) v1alpha1.DriftAnswer {
	keepsName := d.Class == v1alpha1.ClassStable || d.Class == v1alpha1.ClassInPlace
	switch {
	case d.Change == v1alpha1.DriftDeleted && d.Key == (ObjectKey{Kind: "Service", Name: d.Key.Name}):
		return v1alpha1.DriftApplied // traffic never points at nothing, whatever is only reported
	case p.view.Track.ReportDrift:
		return v1alpha1.DriftReported
	case d.Change == v1alpha1.DriftDeleted:
		return v1alpha1.DriftApplied
	case p.answered(d, keepsName):
		return v1alpha1.DriftStalled
	case keepsName:
		return v1alpha1.DriftApplied
	}
	return v1alpha1.DriftNewRun
}

// answered: the same change was answered before. A new run answers what was found in the run before it; while it is on its way, the old
// one still shows the change.
func (p *planner) answered(d Drift, keepsName bool) bool {
	noted, run := p.active.Status.Drift, p.active.Status.ActiveRun
	replaced := func(o v1alpha1.ObjectDrift) bool { return o.Answer == v1alpha1.DriftNewRun && o.Run < run }
	if slices.ContainsFunc(noted, func(o v1alpha1.ObjectDrift) bool {
		return (replaced(o) || o.Answer == v1alpha1.DriftApplied && keepsName) && sameDrift(o, d)
	}) {
		return true
	}
	// More was answered at once than is kept: the rest may have been among it, and would be answered for ever.
	return len(noted) >= maxDrift && noted[len(noted)-1].Seen.Sub(noted[0].Seen.Time) < atOnce &&
		!slices.ContainsFunc(noted, func(o v1alpha1.ObjectDrift) bool { return !replaced(o) && o.Answer != v1alpha1.DriftApplied })
}

// atOnce is how far apart what was answered together may be noted.
const atOnce = time.Minute

func sameDrift(o v1alpha1.ObjectDrift, d Drift) bool {
	return o.Group == d.Key.Group && o.Kind == d.Key.Kind && o.Name == d.Key.Name && o.Change == d.Change &&
		slices.Equal(o.Paths, d.Paths) && slices.Equal(o.Managers, d.Managers)
}

// reapply applies again what keeps its name, makes again what was deleted, and says what is not answered any more. It waits for a rollout, but not
// for one that waits for a person.
func (p *planner) reapply() {
	r := p.active
	if r == nil {
		return
	}
	var stalled []string
	apply := false
	for _, d := range p.plan.Drift {
		switch d.Answer {
		case v1alpha1.DriftApplied:
			apply = apply || !p.tooSoon(d)
		case v1alpha1.DriftStalled:
			stalled = append(stalled, DescribeDrift(d))
		case v1alpha1.DriftNewRun, v1alpha1.DriftReported: // replaceDrifted; nothing
		}
	}
	if apply && (p.staging == nil || IsStandby(p.staging) && p.waitsForPerson(p.staging)) {
		p.add(Step{Kind: Reapply, Release: r.Name, Run: r.Status.ActiveRun})
	}
	if p.driftNeedsRun() && p.restartFailed() {
		p.plan.Stalled[r.Name] = p.notAgain()
	}
	if len(stalled) > 0 {
		p.plan.Stalled[r.Name] = Problem{v1alpha1.DriftRepeatedReason, "changed again in the same way after it was replaced once: " + strings.Join(stalled, "; ") +
			". Find who does it; put the change into Git, undo it, or ask for another run with the annotation stele.dev/restart on the track"}
	}
}

// deletedAgain is how long an object that is deleted again and again is left before it is made once more: somebody's controller may do it.
const deletedAgain = 10 * time.Second

// tooSoon: the same object was deleted, and made again, a moment ago.
func (p *planner) tooSoon(d v1alpha1.ObjectDrift) bool {
	if d.Change != v1alpha1.DriftDeleted {
		return false
	}
	for _, o := range p.active.Status.Drift {
		until := o.Seen.Add(deletedAgain)
		if o.Answer == v1alpha1.DriftApplied && o.Change == d.Change && o.Kind == d.Kind && o.Name == d.Name && o.Group == d.Group && p.view.Now.Before(until) {
			p.wakeAt(until)
			return true
		}
	}
	return false
}

// replaceDrifted begins the release anew when an object of its run was changed that is never updated.
func (p *planner) replaceDrifted() {
	var again []string
	for _, d := range p.plan.Drift {
		if d.Answer == v1alpha1.DriftNewRun {
			again = append(again, DescribeDrift(d))
		}
	}
	if len(again) > 0 && !p.tooOften() {
		p.begin(p.active, "changed behind the operator's back: "+strings.Join(again, "; "))
	}
}

// Changes by instalments (a slow program that reaches one object after another) are answered with so many runs within such a time. Then what has
// changed is said, and waits: each run replaces all pods.
const (
	runsForDrift     = 3
	runsForDriftTime = 10 * time.Minute
)

// tooOften: drift was answered with several runs lately.
func (p *planner) tooOften() bool {
	seen := map[int32]time.Time{}
	for _, o := range p.active.Status.Drift {
		if o.Answer == v1alpha1.DriftNewRun && p.view.Now.Before(o.Seen.Add(runsForDriftTime)) {
			seen[o.Run] = o.Seen.Time
		}
	}
	if len(seen) < runsForDrift {
		return false
	}
	oldest := slices.MinFunc(slices.Collect(maps.Values(seen)), time.Time.Compare)
	p.wakeAt(oldest.Add(runsForDriftTime))
	return true
}

// WasReported: the same change was found in the same run before, and only reported.
func WasReported(r *v1alpha1.ImmutableRelease, d v1alpha1.ObjectDrift) bool {
	return slices.ContainsFunc(r.Status.Drift, func(o v1alpha1.ObjectDrift) bool {
		same := Drift{Key: ObjectKey{d.Group, d.Kind, d.Name}, Change: d.Change, Paths: d.Paths, Managers: d.Managers}
		return o.Run == d.Run && o.Answer == v1alpha1.DriftReported && sameDrift(o, same)
	})
}

// driftNeedsRun: an object of the active run has to be replaced by a new run.
func (p *planner) driftNeedsRun() bool {
	return slices.ContainsFunc(p.plan.Drift, func(d v1alpha1.ObjectDrift) bool { return d.Answer == v1alpha1.DriftNewRun })
}

// DescribeDrift says in words what has happened to an object.
func DescribeDrift(d v1alpha1.ObjectDrift) string {
	out := d.Kind + " " + d.Name
	switch {
	case d.Change == v1alpha1.DriftDeleted:
		return out + " was deleted"
	case len(d.Paths) == 0:
		out += " is not the object that the operator made"
	default:
		out += ": " + strings.Join(d.Paths, ", ")
	}
	if len(d.Managers) > 0 {
		out += fmt.Sprintf(" (by %s)", strings.Join(d.Managers, ", "))
	}
	return out
}

// drift says what differs now, and what was done about it. What is not answered by a step is noted here, once.
func (d *describer) drift() {
	if d.r.Name != d.plan.Active || len(d.plan.Drift) == 0 {
		d.remove(v1alpha1.DriftedCondition)
		return
	}
	var words []string
	for _, each := range d.plan.Drift {
		words = append(words, DescribeDrift(each))
		if each.Answer == v1alpha1.DriftReported || each.Answer == v1alpha1.DriftStalled {
			NoteDrift(d.r, each, d.view)
		}
	}
	d.set(v1alpha1.DriftedCondition, true, v1alpha1.ObjectsChangedReason, strings.Join(words, "; "))
}

// maxDrift is the maximum of status.drift.
const maxDrift = 20

// NoteDrift keeps what was found and answered, and reports whether that is news. The oldest goes for it, but not what differs still: an
// answer that is forgotten would be given again, and what is left would be told of again.
func NoteDrift(r *v1alpha1.ImmutableRelease, found v1alpha1.ObjectDrift, v View) bool {
	key := Drift{Key: ObjectKey{found.Group, found.Kind, found.Name}, Change: found.Change, Paths: found.Paths, Managers: found.Managers}
	same := func(o v1alpha1.ObjectDrift) bool {
		return o.Run == found.Run && o.Answer == found.Answer && sameDrift(o, key)
	}
	noted := slices.Clone(r.Status.Drift)
	if found.Answer == v1alpha1.DriftApplied {
		noted = slices.DeleteFunc(noted, same) // each time is one, and the last is kept
	} else if slices.ContainsFunc(noted, same) {
		return false
	}
	for len(noted) >= maxDrift {
		i := slices.IndexFunc(noted, func(o v1alpha1.ObjectDrift) bool {
			return !slices.ContainsFunc(v.Drift, func(d Drift) bool { return sameDrift(o, d) })
		})
		if i < 0 && (found.Answer == v1alpha1.DriftReported || found.Answer == v1alpha1.DriftStalled) {
			return false // the condition tells it
		}
		noted = slices.Delete(noted, max(i, 0), max(i, 0)+1)
	}
	found.Seen = microTime(v.Now)
	r.Status.Drift = append(noted, found)
	return true
}

// mutated says what the cluster made otherwise than it was asked to.
func (d *describer) mutated() {
	run := max(d.r.Status.ActiveRun, d.r.Status.Run)
	var words []string
	for _, b := range d.r.Status.Baseline {
		if len(b.Mutated) > 0 && b.Run == run && (d.r.Status.ActiveRun > 0 || IsStaging(d.r)) {
			words = append(words, fmt.Sprintf("%s %s: %s", b.Kind, b.Name, strings.Join(b.Mutated, ", ")))
		}
	}
	if len(words) == 0 {
		d.remove(v1alpha1.MutatedCondition)
		return
	}
	slices.Sort(words)
	d.set(v1alpha1.MutatedCondition, true, v1alpha1.ChangedAtAdmissionReason, "the cluster changed what was created: "+strings.Join(words, "; "))
}
