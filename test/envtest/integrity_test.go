package envtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// away takes a repository from its server, and returns what brings it back.
func away(t *testing.T, repo *gitserver.Repo) func() {
	t.Helper()
	if err := os.Rename(repo.Dir(), repo.Dir()+".away"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(repo.Dir()+".away", repo.Dir()); err != nil {
			t.Fatal(err)
		}
	}
}

func packed(data string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(data))
	_ = w.Close()
	return b.Bytes()
}

// twice is a track of which the second commit is live and the first can be gone back to.
type twice struct {
	*scene
	op          *operator
	first, then *v1alpha1.ImmutableRelease
}

func newTwice(t *testing.T, opts operatorOptions) *twice {
	t.Helper()
	w := &twice{scene: &scene{T: t, ns: newNamespace(t)}}
	w.repo = newRepo(t, w.ns)
	one := commit(t, w.repo, shop("web", "1"))
	w.op = startOperator(t, opts, w.ns)
	create(t, newTrack(w.ns, "shop", w.ns))
	untilLive(t, w.ns, "shop", one)
	w.scene.first = w.commit(shop("web", "2"))
	w.live(w.scene.first)
	w.first = untilPhase(t, w.ns, releaseOf("shop", one), v1alpha1.PhaseRetired)
	w.settledDown(one)
	w.then = untilPhase(t, w.ns, releaseOf("shop", w.scene.first), v1alpha1.PhaseActive)
	w.running = w.world()
	return w
}

func (w *twice) settledDown(one string) {
	w.Helper()
	until(w.T, patience, func(ctx context.Context) error { return settledState(ctx, w.ns, []string{one, w.scene.first}) })
}

func (w *twice) restart(opts operatorOptions) { w.op = startOperator(w.T, opts, w.ns) }

// force deletes a release as somebody does who takes away its finalizers.
func force(t *testing.T, rel *v1alpha1.ImmutableRelease) {
	t.Helper()
	named := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: rel.Namespace, Name: rel.Name}}
	uid := rel.UID
	if err := suite.api.Delete(t.Context(), named, client.Preconditions{UID: &uid}); err != nil {
		t.Fatal(err)
	}
	until(t, patience, func(ctx context.Context) error {
		err := suite.api.Patch(ctx, named, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
		if err := client.IgnoreNotFound(err); err != nil {
			return err
		}
		now, err := getRelease(ctx, rel.Namespace, rel.Name)
		if err == nil && now.UID == rel.UID {
			return errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
}

// asBefore waits until a release is there as it was made, and in a phase.
func (w *twice) asBefore(rel *v1alpha1.ImmutableRelease, phase v1alpha1.ReleasePhase) *v1alpha1.ImmutableRelease {
	w.Helper()
	var now *v1alpha1.ImmutableRelease
	until(w.T, patience, func(ctx context.Context) (err error) {
		if now, err = getRelease(ctx, w.ns, rel.Name); err != nil {
			return err
		}
		if was, is := release.SpecDigest(&rel.Spec), release.SpecDigest(&now.Spec); was != is {
			return fmt.Errorf("the spec is not as it was: %v", release.Differing(&rel.Spec, &now.Spec))
		}
		if now.Status.Phase != phase {
			return fmt.Errorf("it is %s, want %s: %s", now.Status.Phase, phase, describe(now.Status.Conditions))
		}
		return nil
	})
	return now
}

func (w *twice) untilEvent(reason string, words ...string) {
	w.Helper()
	until(w.T, patience, func(ctx context.Context) error {
		list := &eventsv1.EventList{}
		if err := suite.api.List(ctx, list, client.InNamespace(w.ns)); err != nil {
			return err
		}
		for _, e := range list.Items {
			found := e.Reason == reason
			for _, word := range words {
				found = found && strings.Contains(e.Note, word)
			}
			if found {
				return nil
			}
		}
		return fmt.Errorf("no event %s with %v", reason, words)
	})
}

// The archive of the active release is looked at though nobody needs it now, and stored again from what is in memory: Git is away.
func TestArchiveOfTheActiveReleaseIsWatched(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{checkEvery: 500 * time.Millisecond})
	back := away(t, w.repo)
	defer back()
	good := archiveOf(t, w.then)
	for name, harm := range map[string]func(bad *corev1.Secret){
		"deleted":           nil,
		"changed":           func(bad *corev1.Secret) { bad.Data["chunk"] = packed("kind: ConfigMap\n") },
		"of another record": func(bad *corev1.Secret) { bad.Data["release"] = archiveOf(t, w.first).Data["release"] },
	} {
		if err := suite.api.Delete(t.Context(), good.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		if bad := good.DeepCopy(); harm != nil {
			harm(bad)
			// The operator may be faster.
			if err := suite.api.Create(t.Context(), bad); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
		}
		until(t, patience, func(ctx context.Context) error {
			now := &corev1.Secret{}
			if err := suite.api.Get(ctx, client.ObjectKeyFromObject(good), now); err != nil {
				return err
			}
			if !maps.EqualFunc(now.Data, good.Data, bytes.Equal) {
				return fmt.Errorf("%s: it is not as it was", name)
			}
			return nil
		})
	}
	w.untilEvent(v1alpha1.ArchiveRebuiltReason, w.then.Name)
	w.untouched()
}

// An archive that was lost while the operator was down is rebuilt from Git when it starts, also by one that is killed over it.
func TestArchiveIsRebuiltFromGitAfterRestart(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	w.op.stop(t)
	good := archiveOf(t, w.then)
	bad := good.DeepCopy()
	bad.Data["chunk"] = packed("kind: ConfigMap\n")
	for _, f := range []fault{killedBefore, killedAfter} {
		for n := 1; n <= 2; n++ { // the bad one is deleted, the good one is created
			if err := suite.api.Delete(t.Context(), good.DeepCopy()); client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			create(t, bad.DeepCopy())
			line := newWire(f, n)
			op := startOperator(t, operatorOptions{transport: line.wrap}, w.ns)
			until(t, patience, func(context.Context) error {
				select {
				case <-line.dead:
					return nil
				default:
					return errors.New("it is not dead yet")
				}
			})
			op.stop(t)
			op = startOperator(t, operatorOptions{}, w.ns)
			until(t, patience, func(ctx context.Context) error {
				now := &corev1.Secret{}
				if err := suite.api.Get(ctx, client.ObjectKeyFromObject(good), now); err != nil {
					return err
				}
				if !maps.EqualFunc(now.Data, good.Data, bytes.Equal) {
					return errors.New("it is not as it was")
				}
				return nil
			})
			untilLive(t, w.ns, "shop", w.scene.first)
			op.stop(t)
		}
	}
	w.untouched()
}

// What Git gives today is not what was released: the options of the track have changed. It is said, and nothing is stored.
func TestArchiveThatGitDoesNotGive(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	w.op.stop(t)
	if err := suite.api.Delete(t.Context(), archiveOf(t, w.first)); err != nil {
		t.Fatal(err)
	}
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Ignore = []v1alpha1.IgnoredKind{{Kind: "ConfigMap"}}
		spec.Pin, spec.Suspend = w.first.Name, true
	})
	w.restart(operatorOptions{})
	untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ArchiveMissingReason, "renders to other content", "ignore")
	w.untouched()
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.URL = suite.git.HTTPURL(w.ns + "-other") })
	untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ArchiveMissingReason, "another repository")
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.URL, spec.Ignore = suite.git.HTTPURL(w.ns), nil })
	untilCondition(t, releaseConditions(w.ns, w.first.Name), v1alpha1.ServingCondition, metav1.ConditionTrue, v1alpha1.EndpointsMovedReason)
}

// Somebody takes the finalizers of releases away and deletes them. They are made again at once, as they were, and nothing that runs
// is touched.
func TestReleasesDeletedByForce(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	back := away(t, w.repo) // nothing of it needs Git
	force(t, w.then)
	force(t, w.first)
	now := w.asBefore(w.then, v1alpha1.PhaseActive)
	if now.UID == w.then.UID || now.Status.ActiveRun != 1 || now.Status.Times.Activated == nil || !now.Status.Times.Activated.Equal(w.then.Status.Times.Activated) {
		t.Errorf("it is %s, in run %d since %v", now.UID, now.Status.ActiveRun, now.Status.Times.Activated)
	}
	w.asBefore(w.first, v1alpha1.PhaseRetired)
	w.untilEvent(v1alpha1.ReleaseLostReason, w.then.Name)
	w.untilEvent(v1alpha1.ReleaseRebuiltReason, w.then.Name)
	w.untouched()
	back()
	third := w.commit(shop("web", "3"))
	w.live(third)
	if rel, err := getRelease(t.Context(), w.ns, releaseOf("shop", third)); err != nil || rel.Spec.Sequence != 3 || rel.Spec.Previous.Digest != release.SpecDigest(&w.then.Spec) {
		t.Errorf("the chain goes on with %+v (%v)", rel.Spec, err)
	}
}

// The release that takes the traffic is deleted while the operator is down. What runs is taken up as it is; with Git away it serves on.
func TestActiveReleaseDeletedWhileTheOperatorIsDown(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	w.op.stop(t)
	force(t, w.then)
	back := away(t, w.repo)
	w.restart(operatorOptions{})
	untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReleaseLostReason, w.then.Name, "serves on", "cannot be rebuilt from Git")
	settled()
	w.untouched()
	back()
	poke(t, w.ns, "shop")
	now := w.asBefore(w.then, v1alpha1.PhaseActive)
	if now.Status.ActiveRun != 1 {
		t.Errorf("it is in run %d", now.Status.ActiveRun)
	}
	untilLive(t, w.ns, "shop", w.scene.first)
	w.untouched()
	w.live(w.commit(shop("web", "3")))
}

// Release and archive are gone, and the branch that is followed does not have the commit: what runs serves on until the next commit.
func TestReleaseThatNothingBringsBack(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	w.op.stop(t)
	old := archiveOf(t, w.then)
	force(t, w.then)
	if err := suite.api.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	back := away(t, w.repo)
	w.restart(operatorOptions{})
	untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReleaseLostReason, w.then.Name)
	w.untouched()
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.Ref.Branch = "fresh" })
	back()
	fresh := commit(t, w.repo, shop("web", "4"), onBranch("fresh", w.first.Spec.Source.Commit)...)
	poke(t, w.ns, "shop")
	untilLive(t, w.ns, "shop", fresh)
	until(t, patience, func(ctx context.Context) error {
		n, err := w.leftovers(ctx, w.then.Name)
		if err == nil && n > 1 { // its ConfigMap has no owner any more
			err = fmt.Errorf("%d objects of the lost release are left", n)
		}
		return err
	})
}

// A later run of a lost release has names that nobody can work out any more: another run is begun beside it, and traffic never stops.
func TestLaterRunOfALostRelease(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = w.first.Name })
	untilLive(t, w.ns, "shop", w.first.Spec.Source.Commit)
	untilPhase(t, w.ns, w.then.Name, v1alpha1.PhaseRetired)
	pinned := untilPhase(t, w.ns, w.first.Name, v1alpha1.PhaseActive)
	w.op.stop(t)
	force(t, pinned)
	w.restart(operatorOptions{})
	w.asBefore(w.first, v1alpha1.PhaseActive)
	untilLive(t, w.ns, "shop", w.first.Spec.Source.Commit)
	if run, err := selected(t.Context(), w.ns, "web"); err != nil || run != w.first.Name+"/3" {
		t.Errorf("the Service selects %s (%v), want run 3", run, err)
	}
}

// Somebody deletes a release and makes another one of the same name, while the operator is there and while it is not.
func TestReleaseMadeAgainWithOtherContent(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"under the operator": false, "while it is down": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwice(t, operatorOptions{})
			evil := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: w.then.Name, Labels: w.then.Labels}}
			w.then.Spec.DeepCopyInto(&evil.Spec)
			evil.Spec.Digest, evil.Spec.Objects = w.first.Spec.Digest, nil
			evil.Spec.Images = []v1alpha1.ReleaseImage{{Name: "evil.example/x", Tag: "1"}}
			if down {
				w.op.stop(t)
			}
			force(t, w.then)
			if err := suite.api.Create(t.Context(), evil); err != nil && (down || !apierrors.IsAlreadyExists(err)) {
				t.Fatal(err)
			}
			if down {
				w.restart(operatorOptions{})
			}
			w.asBefore(w.then, v1alpha1.PhaseActive)
			untilLive(t, w.ns, "shop", w.scene.first)
			w.untouched()
		})
	}
}

// Somebody makes the release of a commit before it is pushed. It is not trusted, and named; when it is gone, the commit goes live.
func TestSquattedRelease(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.ImmutableRelease){
		"of the content of another": func(*v1alpha1.ImmutableRelease) {},
		"without content":           func(r *v1alpha1.ImmutableRelease) { r.Spec.Digest, r.Spec.Objects, r.Spec.Archive = "", nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwice(t, operatorOptions{})
			next := commit(t, w.repo, shop("web", "3"), onBranch("next", w.scene.first)...)
			evil := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: releaseOf("shop", next), Labels: w.then.Labels}}
			w.then.Spec.DeepCopyInto(&evil.Spec)
			evil.Spec.Sequence, evil.Spec.Source.Commit = 3, next
			change(evil)
			create(t, evil)
			branch(t, w.repo, "main", next)
			poke(t, w.ns, "shop")
			if evil.Spec.Digest != "" {
				w.sourceFails(v1alpha1.ObjectOwnedReason, evil.Name, "delete it")
				w.untouched()
				force(t, evil)
				poke(t, w.ns, "shop")
			}
			untilCondition(t, trackConditions(w.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.SucceededReason, release.Short(next))
		})
	}
}

// Who may make releases makes one that says of the one before it that it is another: it bears no witness.
func TestForgedChain(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	for i, rel := range []*v1alpha1.ImmutableRelease{w.then, w.first} {
		forged := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: fmt.Sprintf("shop-000000000%d", i), Labels: w.then.Labels}}
		w.then.Spec.DeepCopyInto(&forged.Spec)
		forged.Spec.Sequence, forged.Spec.Source.Commit = int64(7+i), strings.Repeat("0", 40)
		forged.Spec.Previous = &v1alpha1.PreviousRelease{Name: rel.Name, Digest: "sha256:" + strings.Repeat("e", 64)}
		create(t, forged)
	}
	settled()
	w.untouched()
	w.op.stop(t)
	w.restart(operatorOptions{})
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = w.first.Name })
	untilLive(t, w.ns, "shop", w.first.Spec.Source.Commit)
	w.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = w.then.Name })
	untilLive(t, w.ns, "shop", w.scene.first)
}

// loosen lets releases be changed, and returns what forbids it again.
func loosen(t *testing.T, probe *v1alpha1.ImmutableRelease) func() {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	if err := suite.api.Get(t.Context(), client.ObjectKey{Name: "immutablereleases.stele.dev"}, crd); err != nil {
		t.Fatal(err)
	}
	strict := crd.DeepCopy()
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		unstructured.RemoveNestedField(v.(map[string]any), "schema", "openAPIV3Schema", "properties", "spec", "x-kubernetes-validations")
	}
	if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if err := suite.api.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	try := func(ctx context.Context) error {
		return suite.api.Patch(ctx, probe.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"workloadsFrom":"probe"}}`)), client.DryRunAll)
	}
	until(t, patience, try)
	return func() {
		until(t, patience, func(ctx context.Context) error {
			now := crd.DeepCopy()
			if err := suite.api.Get(ctx, client.ObjectKeyFromObject(now), now); err != nil {
				return err
			}
			now.Object["spec"] = strict.Object["spec"]
			return suite.api.Update(ctx, now)
		})
		until(t, patience, func(ctx context.Context) error {
			if err := try(ctx); !apierrors.IsInvalid(err) {
				return fmt.Errorf("releases can still be changed: %w", err)
			}
			return nil
		})
	}
}

// Somebody who may change CustomResourceDefinitions takes the rule away and changes releases. Serial: it is the rule of all tests.
func TestAlteredReleases(t *testing.T) {
	for name, down := range map[string]bool{"under the operator": false, "while it is down": true} {
		t.Run(name, func(t *testing.T) {
			w := newTwice(t, operatorOptions{})
			if down {
				w.op.stop(t)
			}
			forbid := loosen(t, w.then)
			evil := []byte(`{"spec":{"objects":null,"sequence":9,"source":{"url":"https://evil.example/shop.git"}}}`)
			for _, rel := range []*v1alpha1.ImmutableRelease{w.then, w.first} {
				if err := suite.api.Patch(t.Context(), rel.DeepCopy(), client.RawPatch(types.MergePatchType, evil)); err != nil {
					t.Fatal(err)
				}
			}
			forbid()
			if down {
				w.restart(operatorOptions{})
			}
			// The one that takes the traffic is made again at once, and what it runs is left alone.
			now := w.asBefore(w.then, v1alpha1.PhaseActive)
			if now.UID == w.then.UID || now.Status.ActiveRun != 1 {
				t.Errorf("it is %s, in run %d", now.UID, now.Status.ActiveRun)
			}
			w.untouched()
			w.untilEvent(v1alpha1.ReleaseAlteredReason, w.then.Name)
			// The other one is not used. When it is wanted, it is made again.
			c := untilCondition(t, releaseConditions(w.ns, w.first.Name), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.ReleaseAlteredReason, "spec.objects", "spec.source.url")
			if strings.Contains(c.Message, "evil") {
				t.Errorf("the message holds a value: %s", c.Message)
			}
			untilCondition(t, releaseConditions(w.ns, w.first.Name), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReleaseAlteredReason)
			w.untouched()
			w.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = w.first.Name })
			untilLive(t, w.ns, "shop", w.first.Spec.Source.Commit)
			w.asBefore(w.first, v1alpha1.PhaseActive)
		})
	}
}

// The operator is killed before and after every write with which it makes a release again that somebody has replaced.
func TestRebuildOfAReleaseIsKilled(t *testing.T) {
	t.Parallel()
	w := newTwice(t, operatorOptions{})
	w.op.stop(t)
	current := w.then
	for _, f := range []fault{killedBefore, killedAfter} {
		for n := 1; n <= 4; n++ { // the other one goes, the true one is made, what runs is taken up, and the track says so
			evil := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: current.Name, Labels: current.Labels}}
			current.Spec.DeepCopyInto(&evil.Spec)
			evil.Spec.Images, evil.Spec.Sequence = []v1alpha1.ReleaseImage{{Name: "evil.example/x", Tag: "1"}}, 9
			force(t, current)
			create(t, evil)
			line := newWire(f, n)
			op := startOperator(t, operatorOptions{transport: line.wrap}, w.ns)
			until(t, patience, func(ctx context.Context) error {
				select {
				case <-line.dead:
					return nil
				default:
					return line.tell(isLive(ctx, w.ns, "shop", w.scene.first)) // it got by with fewer writes
				}
			})
			op.stop(t)
			op = startOperator(t, operatorOptions{}, w.ns)
			current = w.asBefore(w.then, v1alpha1.PhaseActive)
			untilLive(t, w.ns, "shop", w.scene.first)
			op.stop(t)
			w.untouched()
		}
	}
}
