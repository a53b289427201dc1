// Package auditledger makes the one AuditLedger, and obeys those who have erased who acted. Its status is that of the log, and is written by whoever writes the
// log.
package auditledger

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// +kubebuilder:rbac:groups=stele.dev,resources=auditledgers,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=stele.dev,resources=auditledgers,resourceNames=cluster,verbs=patch

const (
	// fieldManager owns what the operator takes away.
	fieldManager = "stele"
	// maxIDs is how many entries one wish names.
	maxIDs = 100
	// ErasedReason and NothingToEraseReason are of events.
	ErasedReason         = "ActorErased"
	NothingToEraseReason = "NothingToErase"
)

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Ledger makes entries durable.
type Ledger interface {
	Record(ctx context.Context, entries ...entry.Entry) error
}

// Actors keeps who acted.
type Actors interface {
	Commit(ctx context.Context, key string, p actors.Payload) (string, error)
	Find(ctx context.Context, id string) (key string, found bool, err error)
	Erase(ctx context.Context, ids ...string) error
}

// Reconciler looks after the one AuditLedger.
type Reconciler struct {
	// Client reads from the cache; a read waits for its own writes.
	Client   client.Client
	Ledger   Ledger
	Actors   Actors
	Recorder events.EventRecorder
	// Clock: see kube.SteadyClock.
	Clock kube.Clock
}

// New makes the reconciler of a manager.
func New(mgr ctrl.Manager, ledger Ledger, who Actors) *Reconciler {
	return &Reconciler{Client: mgr.GetClient(), Ledger: ledger, Actors: who, Recorder: mgr.GetEventRecorder("stele"), Clock: kube.NewSteadyClock()}
}

// SetupWithManager registers the controller. The one object is looked at when the operator begins to lead, also when it is not there. Its status, which says something new
// with every entry, wakes nobody.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		queue.Add(ctrl.Request{NamespacedName: types.NamespacedName{Name: v1alpha1.AuditLedgerName}})
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).Named("auditledger").
		For(&v1alpha1.AuditLedger{}, builder.WithPredicates(predicate.AnnotationChangedPredicate{})).WatchesRawSource(first).Complete(r)
}

// Reconcile makes the object when it is missing, and erases what it is asked to.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	l := &v1alpha1.AuditLedger{}
	if err := r.Client.Get(ctx, req.NamespacedName, l); err != nil {
		if apierrors.IsNotFound(err) && req.Name == v1alpha1.AuditLedgerName {
			return ctrl.Result{}, r.ensure(ctx)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if l.Name != v1alpha1.AuditLedgerName || l.Annotations[v1alpha1.EraseAnnotation] == "" {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, r.obey(ctx, l.DeepCopy())
}

// ensure makes the object with its defaults.
func (r *Reconciler) ensure(ctx context.Context) error {
	ledger := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}} // a typed one has no durations that are absent
	ledger.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.AuditLedgerKind))
	ledger.SetName(v1alpha1.AuditLedgerName)
	err := r.Client.Create(ctx, ledger, client.FieldOwner(fieldManager))
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil // it is there, or its CustomResourceDefinition is going away
	}
	if err != nil {
		return fmt.Errorf("make AuditLedger %s: %w", v1alpha1.AuditLedgerName, err)
	}
	return nil
}

// obey erases who acted, by the ids that a person has named, and takes the wish away last: until then it is begun again after a crash. The entry comes before the deletion,
// because afterwards nothing says which entry it was about.
func (r *Reconciler) obey(ctx context.Context, l *v1alpha1.AuditLedger) error {
	ids, wrong := parse(l.Annotations[v1alpha1.EraseAnnotation])
	erased, unknown := 0, wrong
	for _, id := range ids {
		key, found, err := r.Actors.Find(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			unknown++
			continue
		}
		if err := r.record(ctx, l, id, key); err != nil {
			return err
		}
		if err := r.Actors.Erase(ctx, id); err != nil {
			return err
		}
		erased++
	}
	if err := r.takeWish(ctx, l); err != nil {
		return err
	}
	if erased > 0 {
		r.tell(l, ErasedReason, fmt.Sprintf("who acted in %d entries was erased", erased))
	}
	if unknown > 0 {
		r.tell(l, NothingToEraseReason, fmt.Sprintf("%d of the ids that were to be erased name no entry of which it is known who acted: they were erased before, or are none", unknown))
	}
	return nil
}

// parse returns the ids, each once, and how many of what was named are none.
func parse(text string) (ids []string, wrong int) {
	for id := range strings.SplitSeq(text, ",") {
		switch id = strings.TrimSpace(id); {
		case !idForm.MatchString(id), len(ids) == maxIDs:
			wrong++
		case !slices.Contains(ids, id):
			ids = append(ids, id)
		}
	}
	return ids, wrong
}

// record says that who acted in an entry is being erased, and, apart from the ledger too, who asked for that.
func (r *Reconciler) record(ctx context.Context, l *v1alpha1.AuditLedger, id, key string) error {
	e := entry.Entry{
		Key: entry.Key(string(l.UID), 0, string(entry.ActorErased)+"-"+id), Kind: entry.ActorErased, Time: entry.Time(r.Clock.Now()),
		Object:  entry.Object{Kind: v1alpha1.AuditLedgerKind, Name: l.Name, UID: string(l.UID)},
		Details: map[string]string{"id": id},
	}
	if key != "" && len(key) <= maxDetail {
		e.Details["key"] = key
	}
	if actor := l.Annotations[v1alpha1.ActorAnnotation]; actor != "" {
		commitment, err := r.Actors.Commit(ctx, e.Key, actors.Payload{Actor: actor})
		if err != nil {
			return err
		}
		e.Actor = commitment
	}
	return r.Ledger.Record(ctx, e)
}

// maxDetail is the longest detail that an entry has.
const maxDetail = 256

// takeWish takes the annotations away. The object is written with every checkpoint: what is asked is only that the wish is the one that was obeyed.
func (r *Reconciler) takeWish(ctx context.Context, l *v1alpha1.AuditLedger) error {
	var ops []map[string]any
	for _, name := range []string{v1alpha1.EraseAnnotation, v1alpha1.ActorAnnotation, corev1.LastAppliedConfigAnnotation} { // of the last, kubectl apply keeps a copy there
		if value, ok := l.Annotations[name]; ok {
			path := "/metadata/annotations/" + strings.ReplaceAll(name, "/", "~1")
			ops = append(ops, map[string]any{"op": "test", "path": path, "value": value}, map[string]any{"op": "remove", "path": path})
		}
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	if err := r.Client.Patch(ctx, l, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldManager)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("take the wish to erase away: %w", err))
	}
	return nil
}

func (r *Reconciler) tell(l *v1alpha1.AuditLedger, reason, note string) {
	r.Recorder.Eventf(&v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: l.Name, UID: l.UID, ResourceVersion: l.ResourceVersion}}, nil,
		corev1.EventTypeNormal, reason, "Erase", "%s", note)
}
