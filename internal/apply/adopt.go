package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Adopt makes the operator the one owner of the fields of an existing object, so that what is not in Git goes with the next
// Apply: a key that a former manager left in a Service's selector would send traffic nowhere. Owners of subresources (built-in
// controllers) stay.
func (w *Writer) Adopt(ctx context.Context, u *unstructured.Unstructured) error {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(u.GroupVersionKind())
	if err := w.Client.Get(ctx, client.ObjectKeyFromObject(u), live); err != nil {
		return err
	}
	fields, err := takeOver(live.GetManagedFields(), live.GetAPIVersion())
	if err != nil {
		return fmt.Errorf("adopt %s: %w", Describe(u), err)
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": fields},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
	})
	if err != nil {
		return err
	}
	return w.Client.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch))
}

// takeOver unites the entries of all managers of the object itself into one of ours.
func takeOver(entries []metav1.ManagedFieldsEntry, apiVersion string) ([]metav1.ManagedFieldsEntry, error) {
	all := fieldpath.NewSet()
	var out []metav1.ManagedFieldsEntry
	for _, e := range entries {
		if e.Subresource != "" || e.FieldsV1 == nil {
			out = append(out, e)
			continue
		}
		set := fieldpath.NewSet()
		if err := set.FromJSON(bytes.NewReader(e.FieldsV1.GetRawBytes())); err != nil {
			return nil, err
		}
		all = all.Union(set)
	}
	raw, err := all.ToJSON()
	if err != nil {
		return nil, err
	}
	return append(out, metav1.ManagedFieldsEntry{
		Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: apiVersion,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(raw)),
	}), nil
}
