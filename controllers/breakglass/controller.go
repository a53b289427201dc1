// Package breakglass takes note of grants of break-glass and of their end. It gives nobody anything: tokens are given by the API server, and
// the policies of config/admission say when. It knows namespaces and reason codes; users stay in spec.
package breakglass

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/breakglass"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/actors"
)

// +kubebuilder:rbac:groups=stele.dev,resources=breakglasses,resourceNames=cluster,verbs=patch
// +kubebuilder:rbac:groups=stele.dev,resources=breakglasses,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=stele.dev,resources=breakglasses/status,resourceNames=cluster,verbs=patch

// fieldManager owns what the operator takes out of spec.
const fieldManager = "stele"

var openGrants = prometheus.NewGauge(prometheus.GaugeOpts{
	Name: "stele_break_glass_open", Help: "Grants of break-glass that are open.",
})

func init() { metrics.Registry.MustRegister(openGrants) }

// Reconciler keeps the status of the one BreakGlass.
type Reconciler struct {
	// Client reads from the cache; a read waits for its own writes.
	Client   client.Client
	Recorder events.EventRecorder
	// Ledger makes entries of the audit ledger durable; nil: none are made. Actors keeps, apart from it, whom a grant is for.
	Ledger Ledger
	Actors *actors.Store
	// Clock: see kube.SteadyClock.
	Clock kube.Clock
}

// New makes the reconciler of a manager.
func New(mgr ctrl.Manager) *Reconciler {
	return &Reconciler{Client: mgr.GetClient(), Recorder: mgr.GetEventRecorder("stele"), Clock: kube.NewSteadyClock()}
}

// SetupWithManager registers the controller. There is no predicate: what was written to status is what allows the next step. The one object
// is looked at when the operator begins to lead, also when it is not there.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		queue.Add(ctrl.Request{NamespacedName: types.NamespacedName{Name: v1alpha1.BreakGlassName}})
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).Named("breakglass").For(&v1alpha1.BreakGlass{}).WatchesRawSource(first).Complete(r)
}

// Reconcile notes which grants there are and which have gone, and then removes those that are over.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	b := &v1alpha1.BreakGlass{}
	if err := r.Client.Get(ctx, req.NamespacedName, b); err != nil {
		if apierrors.IsNotFound(err) && req.Name == v1alpha1.BreakGlassName {
			openGrants.Set(0)
			return ctrl.Result{}, r.ensure(ctx)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if b.Name != v1alpha1.BreakGlassName {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	d := breakglass.Decide(b, now)
	b = b.DeepCopy()
	err := r.writeStatus(ctx, b, d)
	if err == nil && d.Prune {
		err = r.prune(ctx, b, d)
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: soon}, nil // the cache was behind
	}
	if err != nil || d.Wake.IsZero() {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: d.Wake.Sub(now)}, nil
}

// ensure makes the object without grants. It is a parameter of policies: without it, these could say no more than that it is missing.
func (r *Reconciler) ensure(ctx context.Context) error {
	err := r.Client.Create(ctx, &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.BreakGlassName}}, client.FieldOwner(fieldManager))
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil // it is there, or its CustomResourceDefinition is going away
	}
	if err != nil {
		return fmt.Errorf("make BreakGlass %s: %w", v1alpha1.BreakGlassName, err)
	}
	return nil
}

// writeStatus writes what was decided, where it says anything new, and tells of it when it is durable.
func (r *Reconciler) writeStatus(ctx context.Context, b *v1alpha1.BreakGlass, d breakglass.Decision) error {
	before := b.DeepCopy()
	s := &b.Status
	s.ObservedGeneration, s.Open, s.Ended = b.Generation, d.Open, d.Ended
	apimeta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue, Reason: v1alpha1.SucceededReason, Message: d.Message, ObservedGeneration: b.Generation,
	})
	openGrants.Set(float64(len(d.Open)))
	if equality.Semantic.DeepEqual(before.Status, b.Status) {
		return nil
	}
	if err := r.record(ctx, before, d); err != nil {
		return err
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, b, patch, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("write the status of BreakGlass %s: %w", b.Name, err)
	}
	r.tell(ctx, b, d)
	return nil
}

// tell says which grants were noted and which have ended: why and where, never who.
func (r *Reconciler) tell(ctx context.Context, b *v1alpha1.BreakGlass, d breakglass.Decision) {
	log := ctrl.LoggerFrom(ctx)
	// Who logs events may log what they are about: a name is enough of it.
	subject := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: b.Name, UID: b.UID, ResourceVersion: b.ResourceVersion}}
	for _, g := range d.Opened {
		log.Info("break-glass opened", "reasonCode", g.ReasonCode, "namespaces", g.Namespaces, "until", g.Until.UTC())
		r.Recorder.Eventf(subject, nil, corev1.EventTypeWarning, v1alpha1.BreakGlassOpenedReason, "Note", "%s", about(g)+" until "+g.Until.UTC().Format("2006-01-02T15:04:05Z"))
	}
	for _, g := range d.Gone {
		log.Info("break-glass ended", "reasonCode", g.ReasonCode, "namespaces", g.Namespaces)
		r.Recorder.Eventf(subject, nil, corev1.EventTypeNormal, v1alpha1.BreakGlassEndedReason, "Note", "%s", about(g))
	}
	if len(d.Closed) > 0 {
		log.Info("namespaces closed: what runs in them is run again", "namespaces", d.Closed)
		r.Recorder.Eventf(subject, nil, corev1.EventTypeNormal, v1alpha1.BreakGlassClosedReason, "Replace", "%s",
			"the pods of tracks are replaced in "+few(d.Closed))
	}
}

// soon is when to look again after a conflict.
const soon = 50 * time.Millisecond

// sample is how many namespaces an event names.
const sample = 10

func about(g v1alpha1.OpenGrant) string {
	return fmt.Sprintf("%s in %s", g.ReasonCode, few(g.Namespaces))
}

func few(names []string) string {
	if more := len(names) - sample; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:sample], ", "), more)
	}
	return strings.Join(names, ", ")
}

// prune removes the grants that are over. The policies know no clock: as long as such a grant is there, a token of another grant is let
// through in its namespaces. It only takes away, and the names of users go with it.
func (r *Reconciler) prune(ctx context.Context, b *v1alpha1.BreakGlass, d breakglass.Decision) error {
	before := b.DeepCopy()
	b.Spec.Grants = d.Keep
	delete(b.Annotations, corev1.LastAppliedConfigAnnotation) // kubectl apply keeps a copy there
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, b, patch, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("remove grants that are over from BreakGlass %s: %w", b.Name, err)
	}
	return nil
}
