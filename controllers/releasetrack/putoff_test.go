package releasetrack

import (
	"errors"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// While a release is staged, what was found out is kept for the next reconcile and written soon; when something is wrong, at once.
func TestStatusOfTrackWaitsWhileStaging(t *testing.T) {
	newest := newRelease("2", 2, staging)
	head := newest.Name
	store := func(t *testing.T, r *Reconciler, change func(s *scope), failure error) (scoped, stored string) {
		t.Helper()
		track := &v1alpha1.ReleaseTrack{}
		if err := r.Client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "shop"}, track); err != nil {
			t.Fatal(err)
		}
		s, err := r.newScope(t.Context(), track)
		if err != nil {
			t.Fatal(err)
		}
		scoped = s.track.Status.HeadRelease
		s.planned = true
		s.plan = release.Plan{Staging: head, Target: head}
		if change != nil {
			change(s)
		}
		if err := r.writeTrack(t.Context(), s, failure); err != nil {
			t.Fatal(err)
		}
		if err := r.Client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "shop"}, track); err != nil {
			t.Fatal(err)
		}
		return scoped, track.Status.HeadRelease
	}
	found := func(s *scope) { s.track.Status.HeadRelease = head }
	t.Run("staging", func(t *testing.T) {
		r := newReconciler(t, newTrack(), newest.DeepCopy())
		if _, stored := store(t, r, found, nil); stored != "" {
			t.Fatal("it was written while the release had only begun")
		}
		if scoped, _ := store(t, r, nil, nil); scoped != head {
			t.Errorf("the next reconcile knows the head %q, want %q", scoped, head)
		}
		r.Clock.(*setClock).now = present.Add(putOffStaging + time.Millisecond)
		if _, stored := store(t, r, nil, nil); stored != head {
			t.Errorf("after %s, %q is stored", putOffStaging, stored)
		}
	})
	t.Run("another track of the same name", func(t *testing.T) {
		r := newReconciler(t, newTrack(), newest.DeepCopy())
		store(t, r, found, nil)
		if err := r.Client.Delete(t.Context(), newTrack()); err != nil {
			t.Fatal(err)
		}
		if err := r.Client.Create(t.Context(), newTrack(func(track *v1alpha1.ReleaseTrack) { track.UID = "another" })); err != nil {
			t.Fatal(err)
		}
		if scoped, _ := store(t, r, nil, nil); scoped != "" {
			t.Errorf("it has taken over the head %q", scoped)
		}
	})
	for name, c := range map[string]struct {
		change  func(s *scope)
		failure error
	}{
		"at rest":   {change: func(s *scope) { found(s); s.plan = release.Plan{Active: head, Target: head} }},
		"a failure": {change: found, failure: errors.New("etcd is away")},
		"a refused write": {change: func(s *scope) {
			found(s)
			s.memory.block(attempt{release.Make, release.RunKey{Release: head, Run: 1}}, release.Problem{Reason: "QuotaExceeded"}, present)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReconciler(t, newTrack(), newest.DeepCopy())
			if _, stored := store(t, r, c.change, c.failure); stored != head {
				t.Errorf("%q is stored, want %q at once", stored, head)
			}
		})
	}
}
