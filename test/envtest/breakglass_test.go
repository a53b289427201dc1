package envtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kretry "k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// closeNamespace says that break-glass has ended in a namespace, as the controller of the one BreakGlass does.
func closeNamespace(t *testing.T, ns string) {
	t.Helper()
	err := kretry.RetryOnConflict(kretry.DefaultRetry, func() error {
		b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.BreakGlassName}}
		if err := client.IgnoreAlreadyExists(suite.api.Create(t.Context(), b)); err != nil {
			return err
		}
		if err := suite.api.Get(t.Context(), client.ObjectKeyFromObject(b), b); err != nil {
			return err
		}
		b.Status.Ended = slices.DeleteFunc(b.Status.Ended, func(e v1alpha1.EndedGrant) bool { return e.Namespace == ns })
		b.Status.Ended = append(b.Status.Ended, v1alpha1.EndedGrant{Namespace: ns, At: metav1.NowMicro()})
		return suite.api.Status().Update(t.Context(), b)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// untilReplaced waits until a run takes the traffic and no pod of another is left.
func untilReplaced(t *testing.T, ns, name string, run int32) {
	t.Helper()
	until(t, time.Minute, func(ctx context.Context) error {
		rel, err := getRelease(ctx, ns, name)
		if err != nil {
			return err
		}
		if rel.Status.ActiveRun != run || rel.Status.Run != run {
			return fmt.Errorf("run %d, active run %d, want %d", rel.Status.Run, rel.Status.ActiveRun, run)
		}
		var pods corev1.PodList
		if err := suite.api.List(ctx, &pods, client.InNamespace(ns)); err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return fmt.Errorf("no pods")
		}
		for _, p := range pods.Items {
			if p.Labels[v1alpha1.RunLabel] != fmt.Sprint(run) {
				return fmt.Errorf("pod %s is of run %s", p.Name, p.Labels[v1alpha1.RunLabel])
			}
		}
		return nil
	})
}

// When break-glass ends in a namespace, its pods are replaced by another run, once; also when nobody looked when it ended. Other
// namespaces are left alone.
func TestBreakGlassEnds(t *testing.T) {
	t.Parallel()
	ns, other := newNamespace(t), newNamespace(t)
	o := startOperator(t, operatorOptions{}, ns, other)
	commits := map[string]string{}
	for _, n := range []string{ns, other} {
		repo := newRepo(t, n)
		commits[n] = commit(t, repo, shop("web", "1"))
		create(t, newTrack(n, "shop", n))
		untilLive(t, n, "shop", commits[n])
	}
	name := releaseOf("shop", commits[ns])

	closeNamespace(t, ns)
	untilReplaced(t, ns, name, 2)
	o.stop(t)

	closeNamespace(t, ns)
	o = startOperator(t, operatorOptions{}, ns, other)
	untilReplaced(t, ns, name, 3)

	// Neither another look nor another life replaces anything again.
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Spec.Rollout.KeepFailed = metav1.Duration{Duration: time.Second}
	})
	until(t, time.Minute, func(ctx context.Context) error {
		track, err := getTrack(ctx, ns, "shop")
		if err == nil && track.Status.ObservedGeneration != track.Generation {
			err = fmt.Errorf("generation %d of %d was looked at", track.Status.ObservedGeneration, track.Generation)
		}
		return err
	})
	o.stop(t)
	untilReplaced(t, ns, name, 3)
	untilReplaced(t, other, releaseOf("shop", commits[other]), 1)
}
