// Package outbox makes entries of the audit ledger durable before anything else happens: each is an immutable ConfigMap of the operator's namespace until the
// writer of the log has it.
package outbox

import (
	"context"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// remembered is how many keys this process knows it has written: a step that is repeated writes nothing. One that is forgotten is written once more, and
// dropped by the writer.
const remembered = 1 << 14

// Outbox writes entries.
type Outbox struct {
	client    client.Client
	namespace string
	written   *lru.Cache[string, struct{}]
}

// New makes the outbox of a namespace. The client has no cache.
func New(c client.Client, namespace string) *Outbox {
	written, err := lru.New[string, struct{}](remembered)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Outbox{client: c, namespace: namespace, written: written}
}

// Record makes entries durable, in their order. When it returns without an error, all of them are in the outbox, or have been in the log for long.
func (o *Outbox) Record(ctx context.Context, entries ...entry.Entry) error {
	for _, e := range entries {
		if err := o.write(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// Known reports whether this process has made the entry of a key durable.
func (o *Outbox) Known(key string) bool { return o.written.Contains(entry.ID(key)) }

func (o *Outbox) write(ctx context.Context, e entry.Entry) error {
	id := entry.ID(e.Key)
	if o.written.Contains(id) {
		return nil
	}
	data, err := entry.Encode(e)
	if err != nil {
		return fmt.Errorf("audit ledger: %w", err)
	}
	waiting := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: entry.OutboxName(e.Key), Labels: map[string]string{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry}},
		Immutable:  ptr.To(true),
		Data:       map[string]string{v1alpha1.OutboxKey: string(data)},
	}
	err = o.client.Create(ctx, waiting)
	if _, lacking := kube.MissingRight(err); lacking {
		return kube.Refuse(v1alpha1.OperatorNotAllowedReason, fmt.Sprintf("audit ledger: the operator may not create ConfigMaps in its own namespace %s, "+
			"and does nothing that it cannot record: install config/default of this version again", o.namespace))
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return kube.Classify(err, fmt.Sprintf("audit ledger: entry %s", e))
	}
	o.written.Add(id, struct{}{})
	return nil
}
