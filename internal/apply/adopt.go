package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

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
	return w.own(ctx, u, func(fieldpath.Path) bool { return false })
}

// Reclaim is Adopt of an object that is ours already. What others note on it (labels, annotations, finalizers of load balancers) stays theirs.
func (w *Writer) Reclaim(ctx context.Context, u *unstructured.Unstructured) error {
	return w.own(ctx, u, isNote)
}

func (w *Writer) own(ctx context.Context, u *unstructured.Unstructured, stays func(fieldpath.Path) bool) error {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(u.GroupVersionKind())
	if err := w.Client.Get(ctx, client.ObjectKeyFromObject(u), live); err != nil {
		return err
	}
	fields, err := takeOver(live.GetManagedFields(), live.GetAPIVersion(), stays)
	if err != nil {
		return fmt.Errorf("take over the fields of %s: %w", Describe(u), err)
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

// isNote: a label, annotation or finalizer that is not under stele.dev/.
func isNote(path fieldpath.Path) bool {
	if len(path) < 3 || path[0].FieldName == nil || *path[0].FieldName != "metadata" || path[1].FieldName == nil {
		return false
	}
	switch *path[1].FieldName {
	case "labels", "annotations":
		return path[2].FieldName != nil && !strings.HasPrefix(*path[2].FieldName, "stele.dev/")
	case "finalizers":
		return true
	}
	return false
}

// takeOver unites the entries of all managers of the object itself into one of ours, but for the fields of others that stay theirs.
func takeOver(entries []metav1.ManagedFieldsEntry, apiVersion string, stays func(fieldpath.Path) bool) ([]metav1.ManagedFieldsEntry, error) {
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
		theirs := fieldpath.NewSet()
		set.Iterate(func(path fieldpath.Path) {
			if e.Manager != FieldManager && stays(path) {
				theirs.Insert(path.Copy())
			} else {
				all.Insert(path.Copy())
			}
		})
		if !theirs.Empty() {
			raw, err := theirs.ToJSON()
			if err != nil {
				return nil, err
			}
			e.FieldsV1 = metav1.NewFieldsV1(string(raw))
			out = append(out, e)
		}
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
