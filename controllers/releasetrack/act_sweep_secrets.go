package releasetrack

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// sweepSecrets deletes what a Secret of Git has become in each run but the active one, by name. To delete by label takes the right
// to delete collections, and the API server answers such a request, a dry run too, with the full content of every Secret that it
// selects: it is a list of Secrets under another name.
func (r *Reconciler) sweepSecrets(ctx context.Context, rel *v1alpha1.ImmutableRelease, o v1alpha1.ReleaseObject, keep []string) error {
	for _, run := range namedRuns(rel) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		u.SetNamespace(rel.Namespace)
		u.SetName(render.StampedName(o.Kind, o.Name, identity(rel, run)))
		if run == rel.Status.ActiveRun || slices.Contains(keep, u.GetName()) {
			continue
		}
		live, err := r.Writer.Metadata(ctx, u)
		if err != nil {
			return err
		}
		ours := live != nil && live.Labels[v1alpha1.TrackLabel] == rel.Spec.Track && runKey(live.Labels) == (release.RunKey{Release: rel.Name, Run: run})
		if !ours || !live.DeletionTimestamp.IsZero() {
			continue
		}
		uid := live.GetUID()
		err = r.Live.Delete(ctx, live, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return kube.Classify(err, apply.Describe(u))
		}
	}
	return nil
}
