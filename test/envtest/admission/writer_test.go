package admission

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ledgerUser writes the audit log.
const ledgerUser = "system:serviceaccount:stele-system:stele-ledger"

// The writer of the log, and nobody who only has its name, deletes entries that are in the log and makes its key. Names are not what makes an entry one:
// the label does as well.
func TestWriterOfTheLog(t *testing.T) {
	writer, err := impersonated("writer", ledgerUser, []string{"system:masters"}, map[string][]string{podUID: {"0"}})
	if err != nil {
		t.Fatal(err)
	}
	unbound, err := impersonated("writer-in-name-only", ledgerUser, []string{"system:masters"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := impersonated("operator", operatorUser, []string{"system:masters"}, map[string][]string{podUID: {"0"}})
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name string, labels map[string]string) *unstructured.Unstructured {
		u := object(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, system, name)
		u.SetLabels(labels)
		return u
	}
	key := func(name string) *unstructured.Unstructured {
		return object(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, system, name)
	}
	label := map[string]string{"stele.dev/outbox": "entry"}
	ctx := t.Context()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
		may  bool
	}{
		{"the operator writes an entry", func(ctx context.Context) error { return create(ctx, operator, configMaps, entry("outbox-w", label)) }, true},
		{"the operator does not delete it", func(ctx context.Context) error { return operator.delete(ctx, configMaps, system, "outbox-w") }, false},
		{"the writer does not change it", func(ctx context.Context) error {
			return writer.patch(ctx, configMaps, system, "outbox-w", `{"data":{"a":"b"}}`)
		}, false},
		{"its name is not enough", func(ctx context.Context) error { return unbound.delete(ctx, configMaps, system, "outbox-w") }, false},
		{"the writer deletes it", func(ctx context.Context) error { return writer.delete(ctx, configMaps, system, "outbox-w") }, true},
		{"its name is not enough for a key", func(ctx context.Context) error { return unbound.create(ctx, secrets, key("stele-ledger-key-3")) }, false},
		{"the operator makes no key", func(ctx context.Context) error { return operator.create(ctx, secrets, key("stele-ledger-key-3")) }, false},
		{"the writer makes a key", func(ctx context.Context) error { return create(ctx, writer, secrets, key("stele-ledger-key-3")) }, true},
		{"the writer does not change it", func(ctx context.Context) error {
			return writer.patch(ctx, secrets, system, "stele-ledger-key-3", `{"metadata":{"labels":{"a":"b"}}}`)
		}, false},
		{"the writer does not delete it", func(ctx context.Context) error { return writer.delete(ctx, secrets, system, "stele-ledger-key-3") }, false},
		{"an entry by its label alone", func(ctx context.Context) error { return unbound.create(ctx, configMaps, entry("note", label)) }, false},
	} {
		switch err := step.do(ctx); {
		case step.may && err != nil:
			t.Errorf("%s: %v", step.name, err)
		case !step.may && !apierrors.IsForbidden(err):
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

// create stores an object.
func create(ctx context.Context, i *identity, g schema.GroupVersionResource, u *unstructured.Unstructured) error {
	_, err := i.dyn.Resource(g).Namespace(system).Create(ctx, u, metav1.CreateOptions{})
	return err
}
