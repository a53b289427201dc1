package envtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Kinds that the track ignores are left out and listed; a change of the list makes another release of the same commit, and what it
// leaves out goes.
func TestIgnoredKinds(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	foreign := "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: elsewhere\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: all\nrules: []\n"
	second := s.commit(with(shop("web", "2"), "deploy/platform.yaml", foreign))
	s.rejected(second, "ClusterScopedKind", "platform.yaml:1", "Namespace/elsewhere", "platform.yaml:6", "ClusterRole/all")

	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Ignore = []v1alpha1.IgnoredKind{{Kind: "Namespace"}, {Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}}
	})
	now := s.serving("the first list", second)
	want := []v1alpha1.IgnoredObject{{Kind: "Namespace", Name: "elsewhere", File: "deploy/platform.yaml"},
		{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "all", File: "deploy/platform.yaml"}}
	if diff := cmp.Diff(want, now.Spec.Ignored); diff != "" {
		t.Errorf("spec.ignored (-want +got):\n%s", diff)
	}
	untilCondition(t, releaseConditions(s.ns, now.Name), v1alpha1.RenderedCondition, metav1.ConditionTrue, v1alpha1.SucceededReason,
		"3 objects", "spec.ignore", "Namespace/elsewhere (deploy/platform.yaml)")

	// The order says nothing: no new release.
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Ignore[0], spec.Ignore[1] = spec.Ignore[1], spec.Ignore[0] })
	poke(t, s.ns, "shop")
	settled()
	if n := len(releasesOf(t, s.ns)); n != 3 {
		t.Errorf("%d releases, want 3", n)
	}

	extra := s.commit(map[string]string{"deploy/account.yaml": "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: extra\n"})
	s.serving("a commit", extra)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Ignore = append(spec.Ignore, v1alpha1.IgnoredKind{Kind: "ServiceAccount"})
	})
	until(t, patience, func(ctx context.Context) error {
		account, err := get(ctx, s.ns, "extra", &corev1.ServiceAccount{})
		if err == nil && account.DeletionTimestamp.IsZero() {
			return errors.New("the ServiceAccount is still there")
		}
		return client.IgnoreNotFound(err)
	})
}

// serving waits until a release of a commit is active, under whatever name, and returns it.
func (s *scene) serving(what, commit string) v1alpha1.ImmutableRelease {
	s.Helper()
	var found v1alpha1.ImmutableRelease
	until(s.T, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, s.ns, "shop")
		if err != nil {
			return err
		}
		rel, err := getRelease(ctx, s.ns, track.Status.ActiveRelease)
		if err != nil {
			return err
		}
		if rel.Spec.Source.Commit != commit || rel.Status.Phase != v1alpha1.PhaseActive {
			return fmt.Errorf("%s: release %s of commit %s is %s", what, rel.Name, rel.Spec.Source.Commit, rel.Status.Phase)
		}
		found = *rel
		return nil
	})
	return found
}
