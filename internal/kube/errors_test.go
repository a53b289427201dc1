package kube

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestClassify(t *testing.T) {
	configMaps := schema.GroupResource{Resource: "configmaps"}
	kind := schema.GroupKind{Kind: "ConfigMap"}
	cases := map[string]struct {
		err    error
		reason string // "": stays what it is
		hint   string
	}{
		"quota": {apierrors.NewForbidden(configMaps, "a", errors.New("exceeded quota: small, requested: 1, used: 2, limited: 2")),
			v1alpha1.QuotaExceededReason, "Raise the quota"},
		"terminating namespace": {apierrors.NewForbidden(configMaps, "a", errors.New("unable to create new content in namespace x because it is being terminated")),
			v1alpha1.RefusedByClusterReason, "being terminated"},
		"operator lacks a right": {apierrors.NewForbidden(configMaps, "a", errors.New(`User "stele" cannot create resource "configmaps" in API group "" in the namespace "shop"`)),
			v1alpha1.OperatorNotAllowedReason, "ConfigMap shop/a: the operator may not create configmaps in namespace shop: run make onboard NAMESPACE=shop"},
		"admission denies":     {apierrors.NewForbidden(configMaps, "a", errors.New("violates PodSecurity")), v1alpha1.RefusedByClusterReason, "PodSecurity"},
		"invalid":              {apierrors.NewInvalid(kind, "a", field.ErrorList{field.Required(field.NewPath("data"), "")}), v1alpha1.RefusedByClusterReason, "data"},
		"bad request":          {apierrors.NewBadRequest("no such field"), v1alpha1.RefusedByClusterReason, "no such field"},
		"too large":            {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), v1alpha1.RefusedByClusterReason, "3145728"},
		"method not supported": {apierrors.NewMethodNotSupported(configMaps, "create"), v1alpha1.RefusedByClusterReason, ""},
		"unknown kind":         {&apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "x.example", Kind: "Widget"}}, v1alpha1.UnknownKindReason, "CustomResourceDefinition"},
		"unknown resource":     {apierrors.NewNotFound(schema.GroupResource{Group: "x.example", Resource: "widgets"}, ""), v1alpha1.UnknownKindReason, ""},
		"namespace is gone":    {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "x"), v1alpha1.RefusedByClusterReason, "namespaces"},
		"conflict":             {apierrors.NewConflict(configMaps, "a", errors.New("modified")), "", ""},
		"already exists":       {apierrors.NewAlreadyExists(configMaps, "a"), "", ""},
		"server error":         {apierrors.NewInternalError(errors.New("etcd")), "", ""},
		"too many requests":    {apierrors.NewTooManyRequests("slow down", 1), "", ""},
		"timeout":              {apierrors.NewTimeoutError("late", 1), "", ""},
		"unauthorized":         {apierrors.NewUnauthorized("token"), "", ""},
		"connection":           {errors.New("connection reset by peer"), "", ""},
		"a field of another type": {&apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 500,
			Message: `failed to create typed patch object (shop/db; apps/v1, Kind=StatefulSet): .spec.value: expected string, got &value.valueUnstructured{Value:7331733173}`}},
			v1alpha1.RefusedByClusterReason, ".spec.value: expected string, got something else"},
		"wrapped": {fmt.Errorf("while creating: %w", apierrors.NewBadRequest("no such field")), v1alpha1.RefusedByClusterReason, "no such field"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Classify(tc.err, "ConfigMap shop/a")
			if !errors.Is(got, tc.err) {
				t.Errorf("the cause is lost: %v", got)
			}
			problem, refused := AsRefusal(got)
			if refused != (tc.reason != "") || problem.Reason != tc.reason {
				t.Fatalf("got reason %q (refused: %v), want %q", problem.Reason, refused, tc.reason)
			}
			if !refused {
				return
			}
			if !strings.Contains(problem.Message, "ConfigMap shop/a: ") || !strings.Contains(problem.Message, tc.hint) {
				t.Errorf("message %q lacks the object or %q", problem.Message, tc.hint)
			}
			if strings.Contains(problem.Message, "7331733173") {
				t.Errorf("message %q holds a value", problem.Message)
			}
			if again, ok := AsRefusal(fmt.Errorf("Make shop-1: %w", got)); !ok || again != problem {
				t.Error("a wrapped refusal is not found")
			}
			if !strings.HasPrefix(got.Error(), tc.reason+": ") {
				t.Errorf("error text is %q", got)
			}
		})
	}
	if Classify(nil, "x") != nil {
		t.Error("no error became one")
	}
	if _, ok := AsRefusal(nil); ok {
		t.Error("no error is a refusal")
	}
	if p, ok := AsRefusal(Refuse("A", "b")); !ok || p.Reason != "A" || p.Message != "b" {
		t.Errorf("Refuse gives %v", p)
	}
}
