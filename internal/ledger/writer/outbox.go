package writer

import (
	"context"
	"errors"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// deletions is how many objects are deleted at a time.
const deletions = 8

// outbox lists what waits. Objects that this process has deleted may still be in the cache: they are left out.
func (w *Writer) outbox(ctx context.Context) ([]item, error) {
	var list corev1.ConfigMapList
	if err := w.Cache.List(ctx, &list, client.InNamespace(w.Namespace), client.MatchingLabels{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fromCluster("list the outbox: %w", plain(err))
	}
	items := make([]item, 0, len(list.Items))
	seen, contents := map[types.UID]bool{}, make(map[string]*content, len(list.Items))
	for i := range list.Items {
		c := &list.Items[i]
		if w.deleted[c.UID] || c.DeletionTimestamp != nil {
			seen[c.UID] = true
			continue
		}
		version := string(c.UID) + "/" + c.ResourceVersion
		i := item{Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion, Created: c.CreationTimestamp.Time, Data: c.Data[v1alpha1.OutboxKey], Is: w.contents[version]}
		i.Is = read(i)
		contents[version] = i.Is
		items = append(items, i)
	}
	w.deleted, w.contents = seen, contents
	return items, nil
}

// move appends what is new and deletes what the log has. It takes what it has deleted out of items, and says whether more waits.
func (w *Writer) move(ctx context.Context, ledger *v1alpha1.AuditLedger, items *[]item) (more bool, err error) {
	if ledger.Spec.Anchor != nil && errors.Is(w.anchor.state().err, anchor.ErrForked) {
		return false, nil // status says so
	}
	p := decide(*items, w.index.has)
	entries := append(w.own(ledger), p.Append...)
	if more = len(entries) > roundSize; more {
		entries = entries[:roundSize]
	}
	if len(entries) > 0 {
		if _, err := w.log.Append(ctx, entries); err != nil {
			return false, errors.Join(err, w.close())
		}
		// Read back what is there, not what was meant to be.
		size := w.log.Checkpoint().Size
		if err := w.log.Entries(ctx, w.read, func(_ uint64, data []byte) error {
			w.index.add(data)
			return nil
		}); err != nil {
			return false, errors.Join(err, w.close())
		}
		w.read, w.tree = size, w.log.Checkpoint().Tree
		p = decide(*items, w.index.has)
	}
	gone, err := w.remove(ctx, p.Done)
	*items = slices.DeleteFunc(*items, func(i item) bool { return gone[i.UID] })
	return more, err
}

// own are the entries that the writer itself adds: the first one of a log, and one for another key.
func (w *Writer) own(ledger *v1alpha1.AuditLedger) [][]byte {
	e := entry.Entry{Time: entry.Time(w.Clock.Now()), Object: entry.Object{Kind: v1alpha1.AuditLedgerKind, Name: ledger.Name, UID: string(ledger.UID)}}
	switch {
	case w.read == 0:
		e.Kind, e.Key = entry.LedgerStarted, w.keys.Origin()+"/LedgerStarted"
		e.Details = map[string]string{"origin": w.keys.Origin(), "publicKey": w.key.public}
	case len(w.keys.Signers) > 1:
		e.Kind, e.Key = entry.LedgerKeyChanged, w.key.public+"/LedgerKeyChanged"
		e.Details = map[string]string{"publicKey": w.key.public}
		if ledger.Status.PublicKey != w.key.public {
			e.Details["former"] = ledger.Status.PublicKey
		}
	}
	if e.Kind == "" || w.index.has(e.Key) {
		return nil
	}
	data, err := entry.Encode(e)
	if err != nil {
		w.Log.Error(err, "encode an entry of the writer")
		return nil
	}
	return [][]byte{data}
}

// remove deletes objects whose entries are in the log, and says which are gone.
func (w *Writer) remove(ctx context.Context, done []item) (map[types.UID]bool, error) {
	if len(done) == 0 {
		return nil, nil
	}
	var mu sync.Mutex
	var all []error
	var group sync.WaitGroup
	places := make(chan struct{}, deletions)
	gone := map[types.UID]bool{}
	for _, i := range done {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: i.Name}}
			err := w.Live.Delete(ctx, c, client.Preconditions{UID: &i.UID})
			mu.Lock()
			defer mu.Unlock()
			if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				gone[i.UID], w.deleted[i.UID] = true, true
			} else {
				all = append(all, err)
			}
		})
	}
	group.Wait()
	if len(all) > 0 {
		return gone, fromCluster("delete %d objects of the outbox, whose entries are in the log: %w", len(all), plain(all[0]))
	}
	return gone, nil
}
