package auditledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

const officer = "canary-officer-9b1c"

type clock struct{}

func (clock) Now() time.Time { return time.Unix(1700000000, 0) }

// world notes what is done, in order, and can fail at any point.
type world struct {
	t       *testing.T
	r       *Reconciler
	done    []string
	kept    map[string]string
	entries map[string]entry.Entry
	events  *events.FakeRecorder
	failAt  string
}

func newWorld(t *testing.T, erase string) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, kept: map[string]string{}, entries: map[string]entry.Entry{}, events: events.NewFakeRecorder(10)}
	l := &v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: "cluster", UID: "0000-uid", Annotations: map[string]string{
		v1alpha1.EraseAnnotation: erase, v1alpha1.ActorAnnotation: officer, "example.org/kept": "yes"}}}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(l).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if err := w.did("take"); err != nil {
				return err
			}
			return c.Patch(ctx, obj, patch, opts...)
		}}).Build()
	w.r = &Reconciler{Client: c, Ledger: w, Actors: w, Recorder: w.events, Clock: clock{}}
	return w
}

func (w *world) did(what string) error {
	w.done = append(w.done, what)
	if what == w.failAt {
		w.failAt = ""
		return errors.New("no API server")
	}
	return nil
}

func (w *world) Record(_ context.Context, entries ...entry.Entry) error {
	for _, e := range entries {
		data, err := entry.Encode(e)
		if err != nil {
			return err
		}
		if strings.Contains(string(data), officer) {
			w.t.Errorf("the entry names who asked: %s", data)
		}
		if err := w.did("record " + e.Details["id"][:4]); err != nil {
			return err
		}
		w.entries[e.Key] = e
	}
	return nil
}

func (w *world) Commit(_ context.Context, key string, p actors.Payload) (string, error) {
	if p.Actor != officer {
		w.t.Errorf("who asked is %q", p.Actor)
	}
	w.kept[entry.ID(key)] = key
	return "hmac-sha256:" + strings.Repeat("0", 64), w.did("commit")
}

func (w *world) Find(_ context.Context, id string) (string, bool, error) {
	key, ok := w.kept[id]
	return key, ok, w.did("find " + id[:4])
}

func (w *world) Erase(_ context.Context, ids ...string) error {
	for _, id := range ids {
		if err := w.did("erase " + id[:4]); err != nil {
			return err
		}
		delete(w.kept, id)
	}
	return nil
}

func (w *world) reconcile() error {
	_, err := w.r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "cluster"}})
	return err
}

func (w *world) annotations() map[string]string {
	w.t.Helper()
	l := &v1alpha1.AuditLedger{}
	if err := w.r.Client.Get(w.t.Context(), client.ObjectKey{Name: "cluster"}, l); err != nil {
		w.t.Fatal(err)
	}
	return l.Annotations
}

func TestEraseIsRecordedFirst(t *testing.T) {
	id := entry.ID("7d3c/3/TrackPinned")
	w := newWorld(t, id)
	w.kept[id] = "7d3c/3/TrackPinned"
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	short := id[:4]
	if diff := cmp.Diff([]string{"find " + short, "commit", "record " + short, "erase " + short, "take"}, w.done); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"example.org/kept": "yes"}, w.annotations()); diff != "" {
		t.Error(diff)
	}
	for _, e := range w.entries {
		if e.Kind != entry.ActorErased || e.Details["key"] != "7d3c/3/TrackPinned" || e.Actor == "" {
			t.Errorf("recorded %+v", e)
		}
	}
	w.done = nil
	if err := w.reconcile(); err != nil || len(w.done) > 0 {
		t.Errorf("a settled world: %v, %v", w.done, err)
	}
}

// Whatever fails, the next attempt ends in the same: erased, and recorded once.
func TestEraseAfterFailures(t *testing.T) {
	id := entry.ID("a")
	for _, step := range []string{"find " + id[:4], "commit", "record " + id[:4], "erase " + id[:4], "take"} {
		w := newWorld(t, id)
		w.kept[id], w.failAt = "a", step
		if err := w.reconcile(); err == nil {
			t.Errorf("%s has failed, and nobody is told", step)
		}
		if w.annotations()[v1alpha1.EraseAnnotation] != id {
			t.Errorf("%s has failed, and the wish is gone", step)
		}
		if _, there := w.kept[id]; !there && len(w.entries) == 0 {
			t.Errorf("%s: erased and not recorded", step)
		}
		if err := w.reconcile(); err != nil {
			t.Fatal(err)
		}
		if _, there := w.kept[id]; there || len(w.entries) != 1 || w.annotations()[v1alpha1.EraseAnnotation] != "" {
			t.Errorf("after %s: %v, %v", step, w.kept, w.entries)
		}
	}
}

func TestParse(t *testing.T) {
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	var many []string
	for i := range maxIDs + 3 {
		many = append(many, fmt.Sprintf("%032x", i))
	}
	for name, tc := range map[string]struct {
		text  string
		ids   []string
		wrong int
	}{
		"two":          {a + "," + b, []string{a, b}, 0},
		"spaces":       {" " + a + " ,\n" + b, []string{a, b}, 0},
		"one twice":    {a + "," + a, []string{a}, 0},
		"what is none": {"shop," + a + ",,../" + b, []string{a}, 3},
		"too many":     {strings.Join(many, ","), many[:maxIDs], 3},
	} {
		ids, wrong := parse(tc.text)
		if diff := cmp.Diff(tc.ids, ids); diff != "" || wrong != tc.wrong {
			t.Errorf("%s: %d wrong; %s", name, wrong, diff)
		}
	}
}

func TestUnknownIDs(t *testing.T) {
	w := newWorld(t, strings.Repeat("f", 32)+",shop")
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-w.events.Events:
		if !strings.Contains(got, NothingToEraseReason) || !strings.Contains(got, "2 of the ids") || strings.Contains(got, officer) {
			t.Errorf("told %q", got)
		}
	default:
		t.Error("nobody is told")
	}
	if len(w.entries) > 0 || w.annotations()[v1alpha1.EraseAnnotation] != "" {
		t.Errorf("recorded %v", w.entries)
	}
}

func TestLedgerIsMade(t *testing.T) {
	w := newWorld(t, "")
	l := &v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}
	if err := w.r.Client.Delete(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.reconcile(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.r.Client.Get(t.Context(), client.ObjectKey{Name: "cluster"}, l); err != nil {
		t.Error(err)
	}
}
