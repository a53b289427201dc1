package envtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// archiveOf reads the one Secret of a release's archive.
func archiveOf(t *testing.T, rel *v1alpha1.ImmutableRelease) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	name := fmt.Sprintf("archive.%s.%s.%s.0", rel.Namespace, rel.Name, strings.TrimPrefix(rel.Spec.Digest, "sha256:")[:10])
	if err := suite.api.Get(t.Context(), key(operatorNamespace, name), secret); err != nil {
		t.Fatal(err)
	}
	secret.ResourceVersion, secret.UID = "", ""
	return secret
}

// An archive that is missing or was changed is refused when somebody wants to run it; what runs goes on.
func TestBadArchive(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(data []byte) []byte
		reason string
	}{
		"another archive": {func([]byte) []byte { return packed("kind: ConfigMap\n") }, v1alpha1.ArchiveChangedReason},
		"gzip bomb":       {func([]byte) []byte { return packed(string(make([]byte, 20<<20))) }, v1alpha1.ArchiveChangedReason},

		"missing":         {func([]byte) []byte { return nil }, v1alpha1.ArchiveMissingReason},
		"garbage":         {func(d []byte) []byte { return make([]byte, len(d)) }, v1alpha1.ArchiveChangedReason},
		"one bit":         {func(d []byte) []byte { d[len(d)/2] ^= 1; return d }, v1alpha1.ArchiveChangedReason},
		"of another size": {func(d []byte) []byte { return d[:len(d)-1] }, v1alpha1.ArchiveChangedReason},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			repo := newRepo(t, ns)
			first := commit(t, repo, shop("web", "1"))
			op := startOperator(t, operatorOptions{}, ns)
			create(t, newTrack(ns, "shop", ns))
			untilLive(t, ns, "shop", first)
			second := commit(t, repo, shop("web", "2"))
			poke(t, ns, "shop")
			untilLive(t, ns, "shop", second)
			old := untilPhase(t, ns, releaseOf("shop", first), v1alpha1.PhaseRetired)
			// The operator remembers what it has read lately: it must not have. Git is away, and with it what is rebuilt from.
			op.stop(t)
			back := away(t, repo)
			good := archiveOf(t, old)
			if err := suite.api.Delete(t.Context(), good.DeepCopy()); err != nil {
				t.Fatal(err)
			}
			if data := tc.change(append([]byte(nil), good.Data["chunk"]...)); data != nil {
				bad := good.DeepCopy()
				bad.Data["chunk"] = data
				create(t, bad)
			}
			startOperator(t, operatorOptions{}, ns)
			updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = old.Name })
			untilCondition(t, trackConditions(ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, tc.reason, "spec.pin", "archive", "cannot be rebuilt from Git")
			s := &scene{T: t, ns: ns, repo: repo, first: second}
			s.running = s.world()
			s.othersGoOn()
			s.untouched()
			// With Git back, it is the same archive again, and run as asked.
			back()
			poke(t, ns, "shop")
			untilLive(t, ns, "shop", first)
			if now := archiveOf(t, old); !maps.EqualFunc(now.Data, good.Data, bytes.Equal) || !*now.Immutable {
				t.Error("what was rebuilt is not what was lost")
			}
			if run, err := selected(t.Context(), ns, "web"); err != nil || run != old.Name+"/2" {
				t.Errorf("the Service selects %s (%v), want run 2 of %s", run, err, old.Name)
			}
		})
	}
}

// An object that squats the name that a run is going to use is not taken for the run's own, whatever it says of itself.
func TestSquattedName(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(*corev1.ConfigMap, string){
		"plain": func(*corev1.ConfigMap, string) {},
		"with the run's labels": func(c *corev1.ConfigMap, release string) {
			c.Labels = map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: release, v1alpha1.RunLabel: "1"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			next := commit(t, s.repo, shop("web", "2"), onBranch("next", s.first)...)
			release := releaseOf("shop", next)
			squatter := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "web-config-" + next[:10]}, Data: map[string]string{"version": "evil"}}
			forge(squatter, release)
			create(t, squatter)
			if err := s.repo.Branch("main", next); err != nil {
				t.Fatal(err)
			}
			poke(t, s.ns, "shop")
			s.refused(release, v1alpha1.ObjectOwnedReason, squatter.Name, "not made by this run")
			s.othersGoOn()
			s.untouched()
			if err := suite.api.Delete(t.Context(), squatter); err != nil {
				t.Fatal(err)
			}
			s.live(next)
			config := &corev1.ConfigMap{}
			if err := suite.api.Get(t.Context(), key(s.ns, squatter.Name), config); err != nil || config.Data["version"] != "2" {
				t.Errorf("the ConfigMap holds %v (%v)", config.Data, err)
			}
		})
	}
}

// Objects with labels that the operator never wrote are in nobody's way: rollouts and rollbacks go on, runs stay numbers.
func TestPoisonedLabels(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	old := releaseOf("shop", s.first)
	template := &appsv1.Deployment{}
	if err := suite.api.Get(t.Context(), key(s.ns, "web-"+s.first[:10]), template); err != nil {
		t.Fatal(err)
	}
	poison := func(name, release, run string) {
		l := map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: release, v1alpha1.RunLabel: run}
		maps.DeleteFunc(l, func(_, v string) bool { return v == "" })
		pods := maps.Clone(l)
		pods["poison"] = name
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name, Labels: l}, Spec: *template.Spec.DeepCopy()}
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"poison": name}}
		d.Spec.Template.Labels = pods
		create(t, d)
	}
	poison("garbage", old, "garbage")
	poison("zero", old, "0")
	poison("highest", old, "2147483647")
	poison("beyond", old, "99999999999999999999")
	poison("unknown-release", "shop-ffffffffff", "1")
	poison("without-release", "", "7")
	settled()
	s.stillServes()
	second := s.commit(shop("web", "2"))
	s.live(second)
	s.othersGoOn()
	updateTrack(t, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = old })
	untilLive(t, s.ns, "shop", s.first)
	if run, err := selected(t.Context(), s.ns, "web"); err != nil || run != old+"/2" {
		t.Errorf("the Service selects %s (%v), want run 2", run, err)
	}
	untilPhase(t, s.ns, releaseOf("shop", second), v1alpha1.PhaseRetired)
	until(t, patience, func(ctx context.Context) error {
		var list appsv1.DeploymentList
		if err := suite.api.List(ctx, &list, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.TrackLabel: "shop"}); err != nil {
			return err
		}
		var names []string
		for _, d := range list.Items {
			names = append(names, d.Name)
		}
		if len(names) != 2 {
			return fmt.Errorf("Deployments %v are there, want that of the run and the one without a release", names)
		}
		return nil
	})
}

// stillServes is untouched for a world into which others have put objects with the labels of what runs.
func (s *scene) stillServes() {
	s.Helper()
	run, err := selected(s.Context(), s.ns, "web")
	if want := releaseOf("shop", s.first) + "/1"; err != nil || run != want {
		s.Errorf("the Service selects %s (%v), want %s", run, err, want)
	}
	if err := suite.api.Get(s.Context(), key(s.ns, "web-"+s.first[:10]), &appsv1.Deployment{}); err != nil {
		s.Error(err)
	}
}

// Releases that somebody made by hand run nothing and hold nothing up for good.
func TestForgedRelease(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	forge := func(name string, sequence int64, change func(*v1alpha1.ImmutableRelease)) *v1alpha1.ImmutableRelease {
		rel := &v1alpha1.ImmutableRelease{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name, Labels: map[string]string{v1alpha1.TrackLabel: "shop"}},
			Spec: v1alpha1.ImmutableReleaseSpec{Track: "shop", Sequence: sequence, Digest: "sha256:" + strings.Repeat("a", 64),
				Source: v1alpha1.ReleaseSource{URL: "https://evil.example/x.git", Revision: "main@sha1:" + strings.Repeat("a", 40),
					Commit: strings.Repeat("a", 40), Tree: strings.Repeat("a", 40)},
				Archive: &v1alpha1.ReleaseArchive{Chunks: 1, Size: 100}},
		}
		if change != nil {
			change(rel)
		}
		create(t, rel)
		return rel
	}
	forge("evil", 1, nil)
	forge("evil.with.dots", 2, nil)
	forge("evil-without-archive", 3, func(r *v1alpha1.ImmutableRelease) { r.Spec.Archive = nil })
	forge("evil-of-the-same-objects", 4, func(r *v1alpha1.ImmutableRelease) {
		live, err := getRelease(t.Context(), s.ns, releaseOf("shop", s.first))
		if err != nil {
			t.Fatal(err)
		}
		live.Spec.DeepCopyInto(&r.Spec)
		r.Spec.Sequence, r.Spec.Source.Commit = 4, strings.Repeat("b", 40)
	})
	forge("evil-without-label", 5, func(r *v1alpha1.ImmutableRelease) { r.Labels = nil })
	settled()
	s.untouched()
	second := s.commit(shop("web", "2"))
	s.live(second)
	rel, err := getRelease(t.Context(), s.ns, releaseOf("shop", second))
	if err != nil || rel.Spec.Sequence != 6 {
		t.Errorf("sequence is %d (%v), want one above all that are there", rel.Spec.Sequence, err)
	}
	s.othersGoOn()

	// The highest sequence leaves no room; the track says so, and goes on when it is gone.
	highest := forge("evil-highest", 1_000_000_000_000, nil)
	third := s.commit(shop("web", "3"))
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.RefusedByClusterReason, highest.Name, "delete it")
	if err := isServing(t.Context(), s.ns, releaseOf("shop", second)); err != nil {
		t.Error(err)
	}
	if err := suite.api.Delete(t.Context(), highest); err != nil {
		t.Fatal(err)
	}
	untilLive(t, s.ns, "shop", third)
}

func isServing(ctx context.Context, ns, release string) error {
	run, err := selected(ctx, ns, "web")
	if err == nil && run != release+"/1" {
		return fmt.Errorf("the Service selects %s, want %s/1", run, release)
	}
	return err
}

// A status that somebody forged is computed anew.
func TestForgedStatus(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(with(shop("web", "2"), "deploy/secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: x}\n"))
	s.live(second)
	s.first = second
	s.running = s.world()
	old, now := releaseOf("shop", commitOf(t, s.ns, 1)), releaseOf("shop", second)
	patchStatus := func(obj client.Object, status map[string]any) {
		t.Helper()
		data, err := json.Marshal(map[string]any{"status": status})
		if err != nil {
			t.Fatal(err)
		}
		if err := suite.api.Status().Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, data)); err != nil {
			t.Fatal(err)
		}
	}
	named := metav1.ObjectMeta{Namespace: s.ns}
	lie := []any{map[string]any{"type": "Ready", "status": "True", "reason": "Trust", "message": "all is well", "lastTransitionTime": "2026-01-01T00:00:00Z"}}
	named.Name = now
	patchStatus(&v1alpha1.ImmutableRelease{ObjectMeta: named}, map[string]any{"phase": "Failed", "conditions": lie, "replicas": map[string]any{"remaining": 77}})
	named.Name = old
	patchStatus(&v1alpha1.ImmutableRelease{ObjectMeta: named}, map[string]any{"phase": "Active", "conditions": lie, "run": 1_000_000_000})
	named.Name = "shop"
	patchStatus(&v1alpha1.ReleaseTrack{ObjectMeta: named}, map[string]any{"activeRelease": "nonsense", "targetRelease": "nonsense", "conditions": lie,
		"observedRevision": "nonsense@@"})
	poke(t, s.ns, "shop")
	rel := untilPhase(t, s.ns, now, v1alpha1.PhaseActive)
	if rel.Status.Replicas.Remaining != 1 {
		t.Errorf("%d pods remain, want 1", rel.Status.Replicas.Remaining)
	}
	untilPhase(t, s.ns, old, v1alpha1.PhaseRetired)
	untilCondition(t, releaseConditions(s.ns, now), v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.SucceededReason)
	untilLive(t, s.ns, "shop", second)
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, s.ns, "shop")
		if err == nil && track.Status.ObservedRevision != "main@sha1:"+second {
			return fmt.Errorf("observedRevision is %s", track.Status.ObservedRevision)
		}
		return err
	})
	s.untouched()
	s.othersGoOn()
	// A status beyond what the schema takes is refused.
	named.Name = old
	data := []byte(`{"status":{"run":2147483647}}`)
	if err := suite.api.Status().Patch(t.Context(), &v1alpha1.ImmutableRelease{ObjectMeta: named}, client.RawPatch(types.MergePatchType, data)); !apierrors.IsInvalid(err) {
		t.Errorf("run 2147483647 was taken: %v", err)
	}
	untilLive(t, s.ns, "shop", s.commit(shop("web", "3")))
}

// commitOf is the commit of the release with a sequence.
func commitOf(t *testing.T, ns string, sequence int64) string {
	t.Helper()
	for _, rel := range releasesOf(t, ns) {
		if rel.Spec.Sequence == sequence && rel.Spec.Track == "shop" {
			return rel.Spec.Source.Commit
		}
	}
	t.Fatalf("no release has sequence %d", sequence)
	return ""
}
