package releasetrack

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/drift"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

const (
	// scanEvery is how often objects are read of which no watch tells all.
	scanEvery = time.Minute
	// readsAtOnce bounds the live reads of one reconcile; the next one goes on.
	readsAtOnce = 64
)

// verdict is what a live read of an object has found, and of which state of it.
type verdict struct {
	of    string
	at    time.Time
	drift *release.Drift
}

// findDrift compares the objects of the active run with what they were made. What has not changed since it was last read live costs
// nothing. While another run is on its way, what keeps its name is between two releases, and is not looked at.
func (r *Reconciler) findDrift(ctx context.Context, s *scope) {
	rel, settled := s.serving()
	if rel == nil || s.view.Contents[rel.Name] == nil {
		return
	}
	watched, err := r.targetsOf(ctx, s, rel)
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("drift cannot be looked for", "release", rel.Name, "error", err.Error())
		return
	}
	f := &driftFinder{r: r, s: s, rel: rel, watched: watched, cached: s.world.index(), now: r.Clock.Now(), reads: readsAtOnce}
	for _, t := range watched.targets {
		if !settled && keepsName(t.class) || t.gvk.Kind == "PersistentVolumeClaim" {
			continue
		}
		f.target(ctx, t)
	}
	f.pods(ctx)
	s.view.Drift = f.found
	if f.reads <= 0 {
		s.requeueAfter(time.Second)
	}
}

// serving is the one active release, and whether nothing else is on its way. What waits for a person has not touched what keeps its name.
func (s *scope) serving() (rel *v1alpha1.ImmutableRelease, settled bool) {
	settled = true
	for _, each := range s.releases {
		switch {
		case each.Status.ActiveRun > 0 && rel != nil:
			return nil, false // a switch was cut short; the planner ends one of the two first
		case each.Status.ActiveRun > 0:
			rel = each
		}
		settled = settled && (!release.IsStaging(each) || release.IsStandby(each))
	}
	return rel, settled
}

type driftFinder struct {
	r       *Reconciler
	s       *scope
	rel     *v1alpha1.ImmutableRelease
	watched *watchedRun
	cached  map[objectID]client.Object
	st      *render.Stamped
	now     time.Time
	reads   int
	found   []release.Drift
}

// target looks at one object.
func (f *driftFinder) target(ctx context.Context, t target) {
	if t.gvk.Kind == "Job" && t.class != v1alpha1.ClassStable && release.JobResult(f.rel, f.watched.run.Run, t.key.Name) != "" {
		return
	}
	of, ok := f.state(ctx, t)
	if !ok {
		return
	}
	id := objectID{t.gvk.Group, t.gvk.Kind, t.name}
	old, known := f.s.memory.verified[id]
	if of == "" {
		f.s.requeueAfter(scanEvery)
	}
	if fresh := known && old.of == of && (of != "" || f.now.Before(old.at.Add(scanEvery))); !fresh {
		v, err := f.read(ctx, t)
		if err != nil {
			ctrl.LoggerFrom(ctx).Info("an object cannot be compared with what it was made", "kind", t.gvk.Kind, "error", err.Error())
			f.s.requeueAfter(scanEvery / 4)
			return
		}
		if v == nil {
			return
		}
		v.of, v.at = of, f.now
		f.s.memory.verified[id], old = *v, *v
	}
	if old.drift != nil {
		f.found = append(f.found, *old.drift)
	}
}

// state is what the cache tells of an object; empty: nothing that can be relied upon. false: it is not to be looked at now.
func (f *driftFinder) state(ctx context.Context, t target) (string, bool) {
	if t.seldom {
		return "", true
	}
	obj := f.cached[objectID{t.gvk.Group, t.gvk.Kind, t.name}]
	var err error
	if !followsKind(t.gvk) {
		obj, err = f.r.noted(ctx, f.s, t)
	}
	switch {
	case err != nil:
		ctrl.LoggerFrom(ctx).Info("an object cannot be read from the cache", "kind", t.gvk.Kind, "error", err.Error())
		return "", false
	case obj == nil:
		return "", !isWorkload(t.key) // the planner runs the release again for a workload
	case !obj.GetDeletionTimestamp().IsZero():
		return "", false // it is on its way out, and will be seen gone
	}
	return stateOf(obj, contentOfSpec(obj)), true
}

// read compares one object as it is live; nil: not now.
func (f *driftFinder) read(ctx context.Context, t target) (*verdict, error) {
	if f.reads--; f.reads < 0 {
		return nil, nil
	}
	o, err := f.stamped(ctx, t)
	if err != nil || o == nil {
		return nil, err
	}
	live, err := f.r.Writer.Live(ctx, o.Object)
	if err != nil {
		return nil, err
	}
	if live == nil {
		if t.gvk.Kind == "Job" {
			return &verdict{}, nil // whoever deletes one that has run breaks nothing
		}
		return &verdict{drift: &release.Drift{Key: t.key, Class: t.class, Change: v1alpha1.DriftDeleted}}, nil
	}
	if !live.GetDeletionTimestamp().IsZero() {
		return nil, nil
	}
	return f.compare(t, o, live), nil
}

// compare tells an object from what it was made, and notes what counts from now on.
func (f *driftFinder) compare(t target, o *render.StampedObject, live *unstructured.Unstructured) *verdict {
	owner, run := f.rel, f.watched.run.Run
	if !keepsName(t.class) {
		if owner = f.s.releases[f.watched.run.Release]; owner == nil {
			return &verdict{}
		}
	}
	var base *drift.Baseline
	if b := baselineOf(owner, t.key, run, t.class); b != nil {
		base = &drift.Baseline{Digest: b.Digest, Mutated: b.Mutated}
		if at := owner.Status.Times.Activated; at != nil {
			base.At = at.Time
		}
	}
	found, renew := drift.Judge(driftObject(f.st, o, live), base, o.Object)
	if renew {
		f.s.noteMade(owner, run, f.st, o, live)
	}
	if found == nil {
		return &verdict{}
	}
	return &verdict{drift: &release.Drift{Key: t.key, Class: t.class, Change: v1alpha1.DriftChanged, Paths: found.Paths, Managers: found.Managers}}
}

// stamped is the object as the run has it.
func (f *driftFinder) stamped(ctx context.Context, t target) (*render.StampedObject, error) {
	if f.st == nil {
		st, err := f.r.stamped(ctx, f.s, f.rel, f.watched.run)
		if err != nil {
			return nil, err
		}
		f.st = st
	}
	return find(f.st, release.ObjectKey{Group: t.key.Group, Kind: t.key.Kind, Name: t.name}), nil
}

// pods looks at the pods of the run's workloads: one whose spec has changed since it was made was changed by hand. Those of InPlace workloads
// belong to no run, and are not looked at.
func (f *driftFinder) pods(ctx context.Context) {
	maps.DeleteFunc(f.s.memory.verified, func(id objectID, _ verdict) bool { return id == podID(id.name) && f.cached[id] == nil })
	for _, p := range f.s.world.pods {
		if runKey(p.Labels) != f.watched.run || len(p.OwnerReferences) == 0 || !p.DeletionTimestamp.IsZero() || p.Generation <= 1 {
			continue
		}
		id := podID(p.Name)
		of := stateOf(p, contentOfSpec(p))
		old, known := f.s.memory.verified[id]
		if !known || old.of != of {
			v, err := f.readPod(ctx, p)
			if err != nil {
				ctrl.LoggerFrom(ctx).Info("a pod cannot be compared with what it was made", "error", err.Error())
				f.s.requeueAfter(scanEvery / 4)
				continue
			}
			v.of, v.at = of, f.now
			f.s.memory.verified[id], old = *v, *v
		}
		if old.drift != nil && !slices.ContainsFunc(f.found, func(d release.Drift) bool { return d.Key == old.drift.Key }) {
			f.found = append(f.found, *old.drift)
		}
	}
}

func podID(name string) objectID { return objectID{"", "Pod", name} }

func (f *driftFinder) readPod(ctx context.Context, p *corev1.Pod) (*verdict, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	if err := f.r.Live.Get(ctx, client.ObjectKeyFromObject(p), live); err != nil {
		return &verdict{}, client.IgnoreNotFound(err)
	}
	found := drift.Pod(live, f.watched.resized)
	if found == nil {
		return &verdict{}, nil
	}
	return &verdict{drift: &release.Drift{Key: release.ObjectKey{Kind: "Pod", Name: f.workloadOf(p)}, Class: v1alpha1.ClassVersioned,
		Change: v1alpha1.DriftChanged, Paths: found.Paths, Managers: found.Managers}}, nil
}

// workloadOf is the name in Git of the workload that a pod belongs to: names of pods differ from run to run.
func (f *driftFinder) workloadOf(p *corev1.Pod) string {
	for _, t := range f.watched.targets {
		if isWorkload(t.key) && strings.HasPrefix(p.Name, t.name+"-") {
			return t.key.Name
		}
	}
	return ""
}
