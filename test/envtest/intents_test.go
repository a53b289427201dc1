package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// witness looks at the world when an entry of a kind is recorded for the first time.
type witness struct {
	ledger
	kind entry.Kind
	look func() string
	seen bool
	saw  string
}

func (w *witness) Record(ctx context.Context, entries ...entry.Entry) error {
	w.mu.Lock()
	for _, e := range entries {
		if e.Kind == w.kind && !w.seen {
			w.seen, w.saw = true, w.look()
		}
	}
	w.mu.Unlock()
	return w.ledger.Record(ctx, entries...)
}

// What is done is recorded before it is done: at the moment of the entry the world is as it was.
func TestIntentsComeFirst(t *testing.T) {
	t.Parallel()
	image := func(ns string) string {
		set, err := get(context.Background(), ns, "db", &appsv1.StatefulSet{})
		switch {
		case apierrors.IsNotFound(err):
			return "gone"
		case err != nil:
			return err.Error()
		case set.DeletionTimestamp != nil:
			return "going"
		}
		return set.Spec.Template.Spec.Containers[0].Image
	}
	alone := map[string]string{"deploy/db.yaml": database}
	newer := map[string]string{"deploy/db.yaml": strings.ReplaceAll(database, "shop.example/db:1", "shop.example/db:2")}
	for name, tc := range map[string]struct {
		kind  entry.Kind
		files map[string]string
		track func(*v1alpha1.ReleaseTrack)
		look  func(ns string) string
		want  string
		act   func(s *scene)
		// of is how many entries of the kind there are in the end.
		of int
	}{
		"InPlace workloads are replaced": {kind: entry.SwitchIntended, files: alone, look: image, want: "shop.example/db:1", of: 1,
			act: func(s *scene) { s.live(s.commit(newer)) }},
		"InPlace workloads end with their track": {kind: entry.TerminationIntended, files: alone, look: image, want: "shop.example/db:1", of: 1,
			act: func(s *scene) {
				if err := suite.api.Delete(s.Context(), &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "shop"}}); err != nil {
					s.Fatal(err)
				}
				until(s.T, patience, func(ctx context.Context) error { return trackGone(ctx, s.ns) })
			}},
		"two runs take traffic": {kind: entry.SwitchIntended, files: shop("web", "1"), want: "", of: 1,
			track: func(track *v1alpha1.ReleaseTrack) {
				track.Spec.Rollout.Overlap = metav1.Duration{Duration: 300 * time.Millisecond}
			},
			look: func(ns string) string {
				svc, err := get(context.Background(), ns, "web", &corev1.Service{})
				if err != nil {
					return err.Error()
				}
				return svc.Annotations[v1alpha1.OverlapAnnotation]
			},
			act: func(s *scene) { s.live(s.commit(shop("web", "2"))) }},
		"drift is taken back": {kind: entry.DriftFound, files: shop("web", "1"), want: "ClientIP", of: 1,
			look: func(ns string) string {
				svc, err := get(context.Background(), ns, "web", &corev1.Service{})
				if err != nil {
					return err.Error()
				}
				return string(svc.Spec.SessionAffinity)
			},
			act: func(s *scene) {
				s.edit(&corev1.Service{}, "web", "kubectl-edit", `{"spec":{"sessionAffinity":"ClientIP"}}`)
				s.undrifted(s.first)
				until(s.T, patience, func(ctx context.Context) error {
					rel, err := getRelease(ctx, s.ns, releaseOf("shop", s.first))
					if err == nil && len(rel.Status.Drift) != 1 {
						err = fmt.Errorf("status.drift is %+v", rel.Status.Drift)
					}
					return err
				})
			}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scene{T: t, ns: newNamespace(t)}
			s.repo = newRepo(t, s.ns)
			s.first = commit(t, s.repo, tc.files)
			w := &witness{}
			startOperator(t, operatorOptions{ledger: w}, s.ns)
			track := newTrack(s.ns, "shop", s.ns)
			if tc.track != nil {
				tc.track(track)
			}
			create(t, track)
			untilLive(t, s.ns, "shop", s.first)
			before := len(w.of(tc.kind))
			w.mu.Lock()
			w.kind, w.look = tc.kind, func() string { return tc.look(s.ns) }
			w.mu.Unlock()
			tc.act(s)
			got := len(w.of(tc.kind)) - before
			w.mu.Lock()
			defer w.mu.Unlock()
			if got != tc.of || w.saw != tc.want {
				t.Errorf("%d of %s were recorded, the first when the world was %q; want %d and %q", got, tc.kind, w.saw, tc.of, tc.want)
			}
		})
	}
}

// A wish that was recorded, and is taken back before status says it, is recorded as taken back.
func TestPinTakenBackAtOnce(t *testing.T) {
	t.Parallel()
	l := &witness{}
	w := newTwice(t, operatorOptions{ledger: l})
	l.mu.Lock()
	l.kind = entry.TrackPinned
	l.look = func() string {
		w.wish(`{"spec":{"pin":null}}`)
		return ""
	}
	l.mu.Unlock()
	w.wish(`{"spec":{"pin":"` + w.first.Name + `"}}`)
	until(t, patience, func(context.Context) error {
		if got := l.of(entry.TrackPinned, entry.TrackUnpinned); len(got) != 2 || got[0].Kind != entry.TrackPinned {
			return fmt.Errorf("the ledger holds %+v", got)
		}
		return nil
	})
}

// The name of a tool that keeps a wish in Git stays on the track. It does not stand for a person who changes something else later.
func TestPersonAfterATool(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	w := newTwice(t, operatorOptions{ledger: l})
	w.wish(`{"metadata":{"annotations":{"stele.dev/actor":"system:serviceaccount:flux-system:kustomize-controller"}},"spec":{"rejected":["` + strings.Repeat("a", 40) + `"]}}`)
	until(t, patience, func(context.Context) error {
		if got := l.of(entry.CommitRejected); len(got) != 1 {
			return fmt.Errorf("the ledger holds %+v", got)
		}
		return nil
	})
	w.wish(`{"metadata":{"annotations":{"stele.dev/actor":"jane@acme.example"}},"spec":{"rollout":{"progressDeadline":"7m"}}}`)
	until(t, patience, w.nobodyNamed)
	if got := l.of(entry.TrackChanged); len(got) != 1 || got[0].Actor == "" {
		t.Errorf("the ledger holds %+v", got)
	}
}

// A pin that cannot be recorded is not obeyed, and status says why; then it is recorded once.
func TestPinWaitsForTheLedger(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	w := newTwice(t, operatorOptions{ledger: l})
	l.mu.Lock()
	l.down = true
	l.mu.Unlock()
	w.wish(`{"spec":{"pin":"` + w.first.Name + `"}}`)
	untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.InternalErrorReason, "nothing can be recorded")
	if rel, err := getRelease(t.Context(), w.ns, w.first.Name); err != nil || rel.Status.Run != w.first.Status.Run {
		t.Errorf("run %d was begun: %v", rel.Status.Run, err)
	}
	l.mu.Lock()
	l.down = false
	l.mu.Unlock()
	untilLive(t, w.ns, "shop", w.first.Spec.Source.Commit)
	if got := l.of(entry.TrackPinned); len(got) != 1 {
		t.Errorf("the ledger holds %+v", got)
	}
}

// amnesiac cannot record that a track is gone.
type amnesiac struct{ ledger }

func (a *amnesiac) Record(ctx context.Context, entries ...entry.Entry) error {
	for _, e := range entries {
		if e.Kind == entry.TrackDeleted {
			return errors.New("nothing can be recorded")
		}
	}
	return a.ledger.Record(ctx, entries...)
}

// A track whose end cannot be recorded says so.
func TestDeletionWaitsForTheLedger(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{ledger: &amnesiac{}})
	if err := suite.api.Delete(t.Context(), &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "shop"}}); err != nil {
		t.Fatal(err)
	}
	untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.DeletingReason, "nothing can be recorded")
	w.op.stop(t)
	w.op = startOperator(t, operatorOptions{}, w.ns)
	until(t, patience, func(ctx context.Context) error { return trackGone(ctx, w.ns) })
}
