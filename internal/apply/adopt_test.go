package apply

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

func entry(manager, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
		Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
}

func setOf(t *testing.T, e metav1.ManagedFieldsEntry) *fieldpath.Set {
	t.Helper()
	s := fieldpath.NewSet()
	if err := s.FromJSON(strings.NewReader(e.FieldsV1.GetRawString())); err != nil {
		t.Fatal(err)
	}
	return s
}

// All that others own becomes ours, so that what is not in Git goes with the next apply; built-in controllers keep their part.
func TestTakeOver(t *testing.T) {
	selector := `{"f:spec":{"f:selector":{"f:app":{},"f:version":{}}}}`
	ports := `{"f:spec":{"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}`
	status := entry("kube-controller-manager", "status", `{"f:status":{"f:loadBalancer":{}}}`)
	got, err := takeOver([]metav1.ManagedFieldsEntry{entry("helm", "", selector), status, entry("kubectl-edit", "", ports), entry(FieldManager, "", selector)}, "v1", none)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("%d entries, want that of the status and one of ours: %v", len(got), got)
	}
	if got[0].Manager != status.Manager || got[0].Subresource != "status" || got[0].FieldsV1.GetRawString() != status.FieldsV1.GetRawString() {
		t.Errorf("the owner of the status was changed: %v", got[0])
	}
	ours := got[1]
	if ours.Manager != FieldManager || ours.Operation != metav1.ManagedFieldsOperationApply || ours.APIVersion != "v1" || ours.Subresource != "" || ours.FieldsType != "FieldsV1" {
		t.Errorf("our entry is %+v", ours)
	}
	want := setOf(t, entry("", "", selector)).Union(setOf(t, entry("", "", ports)))
	if !setOf(t, ours).Equals(want) {
		t.Errorf("our entry holds %s, want the union of the others", ours.FieldsV1.GetRawString())
	}
}

func TestTakeOverOfOddEntries(t *testing.T) {
	empty := metav1.ManagedFieldsEntry{Manager: "odd"}
	got, err := takeOver([]metav1.ManagedFieldsEntry{empty}, "apps/v1", none)
	if err != nil || len(got) != 2 || got[0].Manager != "odd" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := takeOver(nil, "v1", none); err != nil || len(got) != 1 || got[0].Manager != FieldManager {
		t.Errorf("without entries: %v, %v", got, err)
	}
	if _, err := takeOver([]metav1.ManagedFieldsEntry{entry("broken", "", `{"f:spec":`)}, "v1", none); err == nil {
		t.Error("broken fields are taken")
	}
}

func none(fieldpath.Path) bool { return false }

// What others note on an object of ours stays theirs: a finalizer that a load balancer needs would be gone with the next apply.
func TestReclaimLeavesNotes(t *testing.T) {
	notes := `{"f:metadata":{"f:annotations":{"f:lb.example/id":{}},"f:finalizers":{"v:\"service.k8s.aws/resources\"":{}},"f:labels":{"f:team":{}}}}`
	ours := `{"f:metadata":{"f:annotations":{".":{},"f:stele.dev/digest":{}},"f:labels":{"f:stele.dev/track":{}},"f:ownerReferences":{"k:{\"uid\":\"1\"}":{}}},"f:spec":{"f:type":{}}}`
	both := setOf(t, entry("", "", notes)).Union(setOf(t, entry("", "", ours)))
	raw, err := both.ToJSON()
	if err != nil {
		t.Fatal(err)
	}
	got, err := takeOver([]metav1.ManagedFieldsEntry{entry("controller", "", string(raw)), entry(FieldManager, "", `{"f:metadata":{"f:labels":{"f:app":{}}}}`)}, "v1", isNote)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if got[0].Manager != "controller" || !setOf(t, got[0]).Equals(setOf(t, entry("", "", notes))) {
		t.Errorf("theirs: %s of %s", got[0].FieldsV1.GetRawString(), got[0].Manager)
	}
	want := setOf(t, entry("", "", ours)).Union(setOf(t, entry("", "", `{"f:metadata":{"f:labels":{"f:app":{}}}}`)))
	if got[1].Manager != FieldManager || !setOf(t, got[1]).Equals(want) {
		t.Errorf("ours: %s", got[1].FieldsV1.GetRawString())
	}
}

func TestExceptNames(t *testing.T) {
	if exceptNames(nil) != nil {
		t.Error("no name makes a selector")
	}
	if got := exceptNames([]string{"a", "b"}).String(); got != "metadata.name!=a,metadata.name!=b" {
		t.Errorf("got %s", got)
	}
}

func TestDescribe(t *testing.T) {
	u := &unstructured.Unstructured{}
	u.SetKind("Service")
	u.SetNamespace("shop")
	u.SetName("web")
	if got := Describe(u); got != "Service shop/web" {
		t.Errorf("got %s", got)
	}
}
