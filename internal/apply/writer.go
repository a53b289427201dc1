package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
)

// FieldManager is the name under which the operator owns fields.
const FieldManager = "stele"

// Writer writes objects of tracks. Its client reads and writes live.
type Writer struct {
	Client client.Client
}

// Describe names an object in messages.
func Describe(u *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", u.GetKind(), u.GetNamespace(), u.GetName())
}

// Create creates an object of a run and returns it as the API server stored it. When it exists already it must be the very one that
// this run makes (an answer was lost, or the operator was killed after the write); anything else is somebody else's and is not touched.
func (w *Writer) Create(ctx context.Context, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	made := u.DeepCopy()
	err := w.Client.Create(ctx, made, client.FieldOwner(FieldManager))
	if !apierrors.IsAlreadyExists(err) {
		return made, kube.Classify(err, Describe(u))
	}
	live, err := w.Live(ctx, u)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return nil, fmt.Errorf("%s exists and does not; trying again", Describe(u))
	}
	if !sameOrigin(live, u) {
		return nil, kube.Refuse(v1alpha1.ObjectOwnedReason, fmt.Sprintf(
			"%s exists already and was not made by this run; delete it, or rename the object in Git", Describe(u)))
	}
	return live, nil
}

func sameOrigin(live, want *unstructured.Unstructured) bool {
	for _, label := range []string{v1alpha1.TrackLabel, v1alpha1.ReleaseLabel, v1alpha1.RunLabel} {
		if live.GetLabels()[label] != want.GetLabels()[label] {
			return false
		}
	}
	return live.GetAnnotations()[v1alpha1.DigestAnnotation] == want.GetAnnotations()[v1alpha1.DigestAnnotation]
}

// Live reads an object live; nil when it does not exist.
func (w *Writer) Live(ctx context.Context, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	if found, err := w.read(ctx, u, live); !found {
		return nil, err
	}
	return live, nil
}

// Metadata reads an object's metadata live; nil when it does not exist.
func (w *Writer) Metadata(ctx context.Context, u *unstructured.Unstructured) (*metav1.PartialObjectMetadata, error) {
	live := &metav1.PartialObjectMetadata{}
	if found, err := w.read(ctx, u, live); !found {
		return nil, err
	}
	return live, nil
}

// read reads an object live into another, and reports whether it exists.
func (w *Writer) read(ctx context.Context, u *unstructured.Unstructured, into client.Object) (bool, error) {
	into.GetObjectKind().SetGroupVersionKind(u.GroupVersionKind())
	err := w.Client.Get(ctx, client.ObjectKeyFromObject(u), into)
	return err == nil, kube.Classify(client.IgnoreNotFound(err), Describe(u))
}

// Ownership is what an existing object is to a track.
type Ownership string

const (
	// Absent: it does not exist.
	Absent Ownership = "Absent"
	// Ours: it carries the track's label.
	Ours Ownership = "Ours"
	// Adoptable: it is somebody else's, and a person has permitted this track to take it over.
	Adoptable Ownership = "Adoptable"
)

// Own tells whose an existing object is; one that may not be taken over is a refusal.
func (w *Writer) Own(ctx context.Context, u *unstructured.Unstructured, track string) (Ownership, error) {
	live, err := w.Metadata(ctx, u)
	switch {
	case err != nil:
		return "", err
	case live == nil:
		return Absent, nil
	case live.Labels[v1alpha1.TrackLabel] == track:
		return Ours, nil
	case live.Labels[v1alpha1.TrackLabel] != "":
		return "", kube.Refuse(v1alpha1.ObjectOwnedReason, fmt.Sprintf("%s belongs to track %s; one object has one track",
			Describe(u), live.Labels[v1alpha1.TrackLabel]))
	case live.Annotations[v1alpha1.AdoptAnnotation] == track:
		return Adoptable, nil
	}
	return "", kube.Refuse(v1alpha1.ObjectOwnedReason, fmt.Sprintf(
		"%s exists already and is not this track's; delete it, or let the track take it over: kubectl annotate -n %s %s %s %s=%s",
		Describe(u), u.GetNamespace(), u.GetKind(), u.GetName(), v1alpha1.AdoptAnnotation, track))
}

// Apply applies a Stable or InPlace object server-side, and returns it as the API server stored it. The caller knows that it is absent or
// the track's own.
func (w *Writer) Apply(ctx context.Context, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	applied := u.DeepCopy()
	err := w.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner(FieldManager), client.ForceOwnership)
	return applied, kube.Classify(err, Describe(u))
}

// DryRun asks what Apply would answer, and writes nothing.
func (w *Writer) DryRun(ctx context.Context, u *unstructured.Unstructured) error {
	u = u.DeepCopy()
	err := w.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldManager), client.ForceOwnership, client.DryRunAll)
	return kube.Classify(err, Describe(u))
}

// Delete deletes one object in the foreground: it goes when all that it owns is gone. A CronJob leaves its Jobs behind: those that
// run may finish. Only the very object that was seen
// (by uid) is deleted. Errors: a refusal when the cluster does not let it go.
func (w *Writer) Delete(ctx context.Context, obj client.Object) error {
	uid := obj.GetUID()
	policy := metav1.DeletePropagationForeground
	if w.kindOf(obj) == "CronJob" {
		policy = metav1.DeletePropagationOrphan
	}
	opts := []client.DeleteOption{client.PropagationPolicy(policy)}
	if uid != "" {
		opts = append(opts, client.Preconditions{UID: &uid})
	}
	err := w.Client.Delete(ctx, obj, opts...)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return kube.Classify(err, w.describe(obj))
}

func (w *Writer) describe(obj client.Object) string {
	return fmt.Sprintf("%s %s/%s", w.kindOf(obj), obj.GetNamespace(), obj.GetName())
}

// kindOf is the kind of an object that only its Go type may tell.
func (w *Writer) kindOf(obj client.Object) string {
	if gvk, err := w.Client.GroupVersionKindFor(obj); err == nil {
		return gvk.Kind
	}
	return obj.GetObjectKind().GroupVersionKind().Kind
}

// DeleteLabelled deletes all objects of a kind that carry the labels, but for those named in keep.
func (w *Writer) DeleteLabelled(ctx context.Context, gvk schema.GroupVersionKind, namespace string, selector labels.Selector, keep []string) error {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	opts := []client.DeleteAllOfOption{client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector},
		client.PropagationPolicy(metav1.DeletePropagationBackground)}
	if fields := exceptNames(keep); fields != nil {
		opts = append(opts, client.MatchingFieldsSelector{Selector: fields})
	}
	err := w.Client.DeleteAllOf(ctx, u, opts...)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return kube.Classify(err, gvk.Kind+"s of the run")
}
