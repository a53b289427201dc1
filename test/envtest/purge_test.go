package envtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// ledger remembers what was recorded, each key once, as the log does.
type ledger struct {
	mu      sync.Mutex
	entries []entry.Entry
	// down: nothing can be recorded.
	down bool
}

func (l *ledger) Record(_ context.Context, entries ...entry.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return errors.New("nothing can be recorded")
	}
	for _, e := range entries {
		if _, err := entry.Encode(e); err != nil {
			return err
		}
		if !slices.ContainsFunc(l.entries, func(o entry.Entry) bool { return o.Key == e.Key }) {
			l.entries = append(l.entries, e)
		}
	}
	return nil
}

// Known lets everything be asked for again, as after a restart.
func (l *ledger) Known(string) bool { return false }

func (l *ledger) of(kinds ...entry.Kind) []entry.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []entry.Entry
	for _, e := range l.entries {
		if slices.Contains(kinds, e.Kind) {
			out = append(out, e)
		}
	}
	return out
}

// wish is a merge patch of the track, by somebody.
func (w *scene) wish(patch string) {
	w.Helper()
	track := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "shop"}}
	if err := suite.api.Patch(w.Context(), track, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		w.Fatal(err)
	}
}

func purging(name, actor string) string {
	return fmt.Sprintf(`{"metadata":{"annotations":{"stele.dev/purge":%q,"stele.dev/actor":%q}}}`, name, actor)
}

// answered waits until a purge was answered, and the wish taken away.
func (w *scene) answered(name string) *v1alpha1.ReleaseTrack {
	w.Helper()
	var track *v1alpha1.ReleaseTrack
	until(w.T, patience, func(ctx context.Context) (err error) {
		if track, err = getTrack(ctx, w.ns, "shop"); err != nil {
			return err
		}
		last := track.Status.LastPurge
		if notes := track.Annotations; notes[v1alpha1.PurgeAnnotation] != "" || notes[v1alpha1.ActorAnnotation] != "" || last == nil || last.Release != name {
			return fmt.Errorf("not answered yet: %v, %+v", notes, last)
		}
		return nil
	})
	return track
}

func (w *scene) noArchive(rel *v1alpha1.ImmutableRelease) {
	w.Helper()
	list := &corev1.SecretList{}
	if err := suite.api.List(w.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		w.Fatal(err)
	}
	for _, s := range list.Items {
		if strings.HasPrefix(s.Name, "archive."+rel.Namespace+"."+rel.Name+".") {
			w.Errorf("Secret %s is there", s.Name)
		}
	}
}

// leak is a release with a Secret in it.
func leak(version, value string) map[string]string {
	return with(shop("web", version), "deploy/secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  password: "+value+"\n")
}

// newLeak has a first release that holds a Secret, and has ended, and one without it that is live.
func newLeak(t *testing.T, opts operatorOptions) *twice {
	t.Helper()
	w := &twice{scene: &scene{T: t, ns: newNamespace(t)}}
	w.repo = newRepo(t, w.ns)
	one := commit(t, w.repo, leak("1", "canary-leak"))
	w.op = startOperator(t, opts, w.ns)
	create(t, newTrack(w.ns, "shop", w.ns))
	untilLive(t, w.ns, "shop", one)
	w.scene.first = w.commit(map[string]string{"deploy/secret.yaml": "", "deploy/web.yaml": deployment("web", "2", "")})
	w.live(w.scene.first)
	name := releaseOf("shop", one)
	untilCondition(t, releaseConditions(w.ns, name), v1alpha1.DeletableCondition, metav1.ConditionTrue, string(v1alpha1.PhaseRetired))
	w.settledDown(one)
	w.first, w.then = untilPhase(t, w.ns, name, v1alpha1.PhaseRetired), untilPhase(t, w.ns, releaseOf("shop", w.scene.first), v1alpha1.PhaseActive)
	return w
}

func TestPurge(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	w := newLeak(t, operatorOptions{ledger: l})
	name := w.first.Name

	// What serves is refused, and it is said what to do first.
	w.wish(purging(w.then.Name, "jane@acme.example"))
	if got := w.answered(w.then.Name).Status.LastPurge.Refused; !strings.Contains(got, "roll back") {
		t.Errorf("the answer is %q", got)
	}
	w.untilEvent(v1alpha1.PurgeRefusedReason, w.then.Name)

	w.wish(purging(name, "jane@acme.example"))
	track := w.answered(name)
	if track.Status.LastPurge.Refused != "" || len(track.Status.Purged) != 1 || track.Status.Purged[0].Commit != w.first.Spec.Source.Commit {
		t.Fatalf("status is %+v, %+v", track.Status.LastPurge, track.Status.Purged)
	}
	untilCondition(t, releaseConditions(w.ns, name), v1alpha1.PurgedCondition, metav1.ConditionTrue, v1alpha1.ReleasePurgedReason)
	w.noArchive(w.first)
	entries := l.of(entry.PurgeIntended, entry.ReleasePurged)
	if len(entries) != 2 || entries[0].Kind != entry.PurgeIntended || entries[0].Actor == "" || entries[1].Kind != entry.ReleasePurged || entries[1].Release.Run != entries[0].Release.Run {
		t.Errorf("the ledger holds %+v", entries)
	}
	secret := &corev1.Secret{}
	if err := suite.api.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: entry.ActorName(entries[0].Key)}, secret); err != nil {
		t.Fatal(err)
	}
	if who, err := actors.Check(secret, entries[0].Actor); err != nil || who.Actor != "jane@acme.example" {
		t.Errorf("who acted: %+v, %v", who, err)
	}

	// It never runs again, whatever becomes of operator, release and Git.
	w.refusesPin(name)
	w.op.stop(t)
	w.op = startOperator(t, operatorOptions{ledger: l}, w.ns)
	w.refusesPin(name)
	rel, err := getRelease(t.Context(), w.ns, name)
	if err != nil {
		t.Fatal(err)
	}
	force(t, rel)
	w.refusesPin(name)
	w.op.stop(t)
	w.op = startOperator(t, operatorOptions{ledger: l}, w.ns)
	w.refusesPin(name)
	if _, err := getRelease(t.Context(), w.ns, name); !apierrors.IsNotFound(err) {
		t.Errorf("it was made again: %v", err)
	}
	w.noArchive(w.first)
	if again := l.of(entry.PurgeIntended, entry.ReleasePurged); len(again) != 2 {
		t.Errorf("the ledger holds %+v", again)
	}

	// Git goes back to its commit: a release is made of it, and is rejected. What serves stays.
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Source.Ref = v1alpha1.GitRef{Commit: w.first.Spec.Source.Commit}
	})
	untilCondition(t, releaseConditions(w.ns, name), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.ReleasePurgedReason)
	w.noArchive(w.first)
	if now, err := getRelease(t.Context(), w.ns, name); err != nil || now.Spec.Archive != nil || now.Spec.Sequence <= w.then.Spec.Sequence {
		t.Errorf("it is %+v, %v", now.Spec, err)
	}
	if track, err := getTrack(t.Context(), w.ns, "shop"); err != nil || track.Status.ActiveRelease != w.then.Name {
		t.Errorf("active is %s, %v", track.Status.ActiveRelease, err)
	}
}

// refusesPin pins a release, waits until that is refused, and takes the pin away.
func (w *twice) refusesPin(name string) {
	w.Helper()
	w.wish(`{"metadata":{"annotations":{"stele.dev/actor":"jane@acme.example"}},"spec":{"pin":"` + name + `"}}`)
	untilCondition(w.T, trackConditions(w.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.InvalidPinReason, "was purged")
	w.wish(`{"metadata":{"annotations":{"stele.dev/actor":"jane@acme.example"}},"spec":{"pin":null}}`)
	until(w.T, patience, func(ctx context.Context) error { return isLive(ctx, w.ns, "shop", w.scene.first) })
	until(w.T, patience, func(ctx context.Context) error { return w.nobodyNamed(ctx) })
}

func (w *scene) nobodyNamed(ctx context.Context) error {
	track, err := getTrack(ctx, w.ns, "shop")
	if err == nil && track.Annotations[v1alpha1.ActorAnnotation] != "" {
		err = errors.New("the track still names who acted")
	}
	return err
}

// A purge that was noted is done by the next process, also when the release had been deleted by force, and made again without its mark.
func TestPurgeIsFinishedByTheNextProcess(t *testing.T) {
	t.Parallel()
	w := newLeak(t, operatorOptions{})
	w.op.stop(t)
	track, err := getTrack(t.Context(), w.ns, "shop")
	if err != nil {
		t.Fatal(err)
	}
	now := metav1.NewMicroTime(time.Now())
	track.Status.Purged = []v1alpha1.PurgedRelease{{Release: w.first.Name, Commit: w.first.Spec.Source.Commit, Sequence: w.first.Spec.Sequence, Since: now}}
	if err := suite.api.Status().Update(t.Context(), track); err != nil {
		t.Fatal(err)
	}
	l := &ledger{}
	w.op = startOperator(t, operatorOptions{ledger: l}, w.ns)
	untilCondition(t, releaseConditions(w.ns, w.first.Name), v1alpha1.PurgedCondition, metav1.ConditionTrue, v1alpha1.ReleasePurgedReason)
	w.noArchive(w.first)
	if got := l.of(entry.PurgeIntended, entry.ReleasePurged); len(got) != 2 {
		t.Errorf("the ledger holds %+v", got)
	}
}

// Nothing is deleted before it is recorded.
func TestPurgeWaitsForTheLedger(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	w := newLeak(t, operatorOptions{ledger: l})
	l.mu.Lock()
	l.down = true
	l.mu.Unlock()
	w.wish(purging(w.first.Name, "jane"))
	untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.InternalErrorReason, "nothing can be recorded")
	archiveOf(t, w.first)
	track, err := getTrack(t.Context(), w.ns, "shop")
	if err != nil || track.Annotations[v1alpha1.ActorAnnotation] == "" || len(track.Status.Purged) != 0 {
		t.Errorf("%v, %+v, %v", track.Annotations, track.Status.Purged, err)
	}
	l.mu.Lock()
	l.down = false
	l.mu.Unlock()
	w.answered(w.first.Name)
	untilCondition(t, releaseConditions(w.ns, w.first.Name), v1alpha1.PurgedCondition, metav1.ConditionTrue, v1alpha1.ReleasePurgedReason)
}

// The marks can be taken away by nobody, not even by who writes status.
func TestPurgedStaysPurged(t *testing.T) {
	t.Parallel()
	w := newLeak(t, operatorOptions{})
	w.wish(purging(w.first.Name, "jane"))
	w.answered(w.first.Name)
	untilCondition(t, releaseConditions(w.ns, w.first.Name), v1alpha1.PurgedCondition, metav1.ConditionTrue, v1alpha1.ReleasePurgedReason)
	rel := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: w.first.Name}}
	track := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "shop"}}
	for patch, about := range map[string]client.Object{
		`{"status":{"purged":null}}`:                                       rel,
		`{"status":{"purged":{"done":null}}}`:                              rel,
		`{"status":{"purged":{"intended":"2026-01-01T00:00:00.000000Z"}}}`: rel,
		`{"status":{"purged":[]}}`:                                         track,
		`{"status":{"purged":null}}` + " ":                                 track,
	} {
		if err := suite.api.Status().Patch(t.Context(), about, client.RawPatch(types.MergePatchType, []byte(patch))); !apierrors.IsInvalid(err) {
			t.Errorf("%T %s: %v", about, patch, err)
		}
	}
}

// Who wished for what is taken from the track once it is recorded. A GitOps tool that applies the track again does not bring it back, and nothing is written when
// nothing has changed; a tool that keeps a wish in Git has its own account there, which stays.
func TestActorsLeaveTheTrack(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	w := newTwice(t, operatorOptions{ledger: l})
	const jane = "jane@acme.example"
	w.wish(`{"metadata":{"annotations":{"stele.dev/actor":"` + jane + `"}},"spec":{"pin":"` + w.first.Name + `"}}`)
	until(t, patience, w.nobodyNamed)
	pinned := l.of(entry.TrackPinned)
	if len(pinned) != 1 || pinned[0].Actor == "" {
		t.Fatalf("the ledger holds %+v", pinned)
	}
	untilLive(t, w.ns, "shop", w.first.Spec.Source.Commit)
	settled := func() *v1alpha1.ReleaseTrack {
		until(t, patience, func(ctx context.Context) error {
			return settledState(ctx, w.ns, []string{w.then.Spec.Source.Commit, w.first.Spec.Source.Commit})
		})
		track, err := getTrack(t.Context(), w.ns, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return track
	}
	settled()

	// What is in Git: everything but wishes.
	tool := client.FieldOwner("kustomize-controller")
	inGit := newTrack(w.ns, "shop", w.ns)
	inGit.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.ReleaseTrackKind))
	apply := func() *v1alpha1.ReleaseTrack {
		applied := inGit.DeepCopy()
		//nolint:staticcheck // typed objects have no apply configuration
		if err := suite.api.Patch(t.Context(), applied, client.Apply, tool, client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
		return applied
	}
	apply()
	before := settled()
	if before.Spec.Pin != w.first.Name || before.Annotations[v1alpha1.ActorAnnotation] != "" {
		t.Fatalf("the tool has taken the pin %q, or brought a name: %v", before.Spec.Pin, before.Annotations)
	}
	if again := apply(); again.ResourceVersion != before.ResourceVersion {
		t.Errorf("applied again, it was written: %s, then %s", before.ResourceVersion, again.ResourceVersion)
	}

	// A tool with the wish in Git.
	const account = "system:serviceaccount:flux-system:kustomize-controller"
	inGit.Annotations, inGit.Spec.Pin = map[string]string{v1alpha1.ActorAnnotation: account}, w.first.Name
	apply()
	w.wish(`{"metadata":{"annotations":{"example.org/seen":"1"}}}`)
	if after := settled(); after.Annotations[v1alpha1.ActorAnnotation] != account {
		t.Errorf("%v", after.Annotations)
	}

	// Every kind of wish.
	w.wish(`{"metadata":{"annotations":{"stele.dev/actor":"` + jane + `"}},"spec":{"pin":null,"rejected":["` + strings.Repeat("a", 40) + `"]}}`)
	until(t, patience, w.nobodyNamed)
	kinds := map[entry.Kind]bool{}
	for _, e := range l.of(entry.TrackUnpinned, entry.CommitRejected) {
		kinds[e.Kind] = e.Actor != ""
	}
	if !maps.Equal(kinds, map[entry.Kind]bool{entry.TrackUnpinned: true, entry.CommitRejected: true}) {
		t.Errorf("the ledger holds %v, and by whom", kinds)
	}
}
