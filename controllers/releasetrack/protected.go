package releasetrack

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/protection"
)

// Protection is what is known of the admission policies of the cluster.
type Protection interface {
	// Finding is what is known now.
	Finding() protection.Finding
	// Events brings an event after each change of it.
	Events() <-chan event.GenericEvent
}

// judge reads the labels of the track's namespace and says how protected the track is. A namespace that the cache does not show yet
// leaves the verdict as it was: its event is on the way.
func (r *Reconciler) judge(ctx context.Context, s *scope) error {
	if r.Protection == nil {
		s.protected = protection.Judge(protection.Finding{}, s.track.Namespace, false)
		return nil
	}
	namespace := newNamespace()
	finding := r.Protection.Finding()
	switch err := r.Client.Get(ctx, client.ObjectKey{Name: s.track.Namespace}, namespace); {
	case apierrors.IsNotFound(err):
		finding = protection.Finding{}
	case err != nil:
		return fmt.Errorf("read the labels of namespace %s: %w", s.track.Namespace, err)
	}
	s.protected = protection.Judge(finding, s.track.Namespace, protection.IsEnforced(namespace.Labels))
	return nil
}

// describeProtection says how protected the track is. Until this process has looked, what is stored stands: a restart is no news.
func describeProtection(s *scope) {
	conditions := &s.track.Status.Conditions
	if s.protected.Reason == "" || s.protected.Status == metav1.ConditionUnknown && apimeta.FindStatusCondition(*conditions, v1alpha1.ProtectedCondition) != nil {
		return
	}
	apimeta.SetStatusCondition(conditions, metav1.Condition{Type: v1alpha1.ProtectedCondition, Status: s.protected.Status, ObservedGeneration: s.track.Generation,
		Reason: s.protected.Reason, Message: cut(s.protected.Message, protectedMessageLimit)})
}

// protectedMessageLimit keeps the status small: the condition is on every track.
const protectedMessageLimit = 4096

// tellOfProtection publishes an event when the track's protection is lost, is lost for another reason, or is there again.
func (r *Reconciler) tellOfProtection(s *scope) {
	now := apimeta.FindStatusCondition(s.track.Status.Conditions, v1alpha1.ProtectedCondition)
	was := apimeta.FindStatusCondition(s.stored.Conditions, v1alpha1.ProtectedCondition)
	if was == nil {
		was = &metav1.Condition{Status: metav1.ConditionUnknown}
	}
	switch {
	case now == nil || now.Status == metav1.ConditionUnknown:
	case was.Status == metav1.ConditionUnknown: // the first verdict on a track is no change
	case now.Status == metav1.ConditionFalse && (was.Status != now.Status || was.Reason != now.Reason):
		r.event(s.track, corev1.EventTypeWarning, now.Reason, "Protect", now.Message)
	case now.Status == metav1.ConditionTrue && was.Status == metav1.ConditionFalse:
		r.event(s.track, corev1.EventTypeNormal, now.Reason, "Protect", now.Message)
	}
}

// newNamespace holds the metadata of a namespace.
func newNamespace() *metav1.PartialObjectMetadata {
	out := &metav1.PartialObjectMetadata{}
	out.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return out
}

// enforcedOnly drops all labels of a namespace but the one that is read.
func enforcedOnly(in any) (any, error) {
	if ns, ok := in.(*metav1.PartialObjectMetadata); ok {
		var labels map[string]string
		if value, ok := ns.Labels[v1alpha1.EnforcedLabel]; ok {
			labels = map[string]string{v1alpha1.EnforcedLabel: value}
		}
		ns.Labels, ns.Annotations, ns.ManagedFields = labels, nil, nil
	}
	return in, nil
}

// tracksOf finds the tracks of a namespace.
func (r *Reconciler) tracksOf(ctx context.Context, namespace client.Object) []ctrl.Request {
	return r.tracks(ctx, client.InNamespace(namespace.GetName()))
}

// everyTrack finds all tracks.
func (r *Reconciler) everyTrack(ctx context.Context, _ client.Object) []ctrl.Request {
	return r.tracks(ctx)
}

func (r *Reconciler) tracks(ctx context.Context, opts ...client.ListOption) []ctrl.Request {
	list := &v1alpha1.ReleaseTrackList{}
	if err := r.Client.List(ctx, list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "list tracks")
		return nil
	}
	out := make([]ctrl.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}
