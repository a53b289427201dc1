package envtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// servesOn: for a while, a release takes the traffic of track "shop".
func servesOn(t *testing.T, ns, name string, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		track, err := getTrack(t.Context(), ns, "shop")
		if err != nil || track.Status.ActiveRelease != name {
			t.Fatalf("%v; active is %s, want %s: %s", err, track.Status.ActiveRelease, name, describe(track.Status.Conditions))
		}
	}
}

// A tag goes back to an earlier commit, and then on to one that is refused: what runs goes on, and what the tag has left does not
// come back by itself.
func TestWhatGitHasLeftStaysAway(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	repo := newRepo(t, ns)
	first, second := commit(t, repo, shop("web", "1")), commit(t, repo, shop("web", "2"))
	bad := commit(t, repo, map[string]string{"deploy/x.yaml": "a: ["})
	tag := func(id string) {
		if err := repo.Tag("rel", id); err != nil {
			t.Fatal(err)
		}
	}
	tag(first)
	track := newTrack(ns, "shop", ns)
	track.Spec.Source.Ref = v1alpha1.GitRef{Tag: "rel"}
	startOperator(t, operatorOptions{}, ns)
	create(t, track)
	untilLive(t, ns, "shop", first)
	tag(second)
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	tag(first)
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", first)
	if r := untilPhase(t, ns, releaseOf("shop", second), v1alpha1.PhaseRetired); r.Status.Times.Left == nil {
		t.Error("it is not noted that the tag has left it")
	}

	tag(bad)
	poke(t, ns, "shop")
	untilPhase(t, ns, releaseOf("shop", bad), v1alpha1.PhaseRejected)
	servesOn(t, ns, releaseOf("shop", first), 3*time.Second)

	tag(second)
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	if r := untilPhase(t, ns, releaseOf("shop", second), v1alpha1.PhaseActive); r.Status.Times.Left != nil {
		t.Error("the tag points at it again, and it is noted as left")
	}
}

// A registry is down and the newest commit waits for it: what runs is repaired all the same.
func TestRepairWhileANewerCommitWaits(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	push(t, registry, "shop/web:1")
	first := commit(t, repo, imageShop(registry, "1", "hello"))
	startOperator(t, operatorOptions{}, ns)
	create(t, resolving(ns))
	untilLive(t, ns, "shop", first)
	registry.Stop()
	second := commit(t, repo, imageShop(registry, "2", "hello"))
	poke(t, ns, "shop")
	untilCondition(t, releaseConditions(ns, releaseOf("shop", second)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RegistryUnreachableReason)

	deployments := func(ctx context.Context) ([]appsv1.Deployment, error) {
		var list appsv1.DeploymentList
		return list.Items, suite.api.List(ctx, &list, client.InNamespace(ns))
	}
	was, err := deployments(t.Context())
	if err != nil || len(was) != 1 {
		t.Fatalf("%d Deployments, %v", len(was), err)
	}
	if err := suite.api.Delete(t.Context(), &was[0]); err != nil {
		t.Fatal(err)
	}
	until(t, patience, func(ctx context.Context) error {
		rel, err := getRelease(ctx, ns, releaseOf("shop", first))
		if err == nil && rel.Status.ActiveRun != 2 {
			err = fmt.Errorf("run %d is active: %s", rel.Status.ActiveRun, describe(rel.Status.Conditions))
		}
		return err
	})
	// The commit waits still, and says so.
	untilCondition(t, releaseConditions(ns, releaseOf("shop", second)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RegistryUnreachableReason)
	push(t, registry, "shop/web:2")
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	untilLive(t, ns, "shop", second)
}

// The gate is loosened while a release waits for its registry: that release does not run with tags; another one of the same commit does.
func TestLoosenedGate(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	push(t, registry, "shop/web:1")
	registry.Stop()
	id := commit(t, repo, imageShop(registry, "1", "hello"))
	startOperator(t, operatorOptions{}, ns)
	create(t, resolving(ns))
	waits := releaseOf("shop", id)
	untilCondition(t, releaseConditions(ns, waits), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RegistryUnreachableReason)
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Gates.Images = v1alpha1.ImagesIgnore })
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, ns, "shop")
		if err == nil && (track.Status.ActiveRelease == "" || track.Status.ActiveRelease == waits) {
			err = fmt.Errorf("active is %q: %s", track.Status.ActiveRelease, describe(track.Status.Conditions))
		}
		return err
	})
	if rel, err := getRelease(t.Context(), ns, waits); err != nil || rel.Status.Run != 0 {
		t.Errorf("the release that waited for its registry was run: %v, run %d", err, rel.Status.Run)
	}
}
