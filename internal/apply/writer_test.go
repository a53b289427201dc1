package apply

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
)

func stampedConfig(changes ...func(labels, annotations map[string]string)) *unstructured.Unstructured {
	labels := map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: "shop-1", v1alpha1.RunLabel: "1"}
	annotations := map[string]string{v1alpha1.DigestAnnotation: "sha256:a"}
	for _, c := range changes {
		c(labels, annotations)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"a": "b"}}}
	u.SetAPIVersion("v1")
	u.SetKind("ConfigMap")
	u.SetNamespace("shop")
	u.SetName("config-1")
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	return u
}

func reasonOf(err error) string {
	p, _ := kube.AsRefusal(err)
	return p.Reason
}

// A create is repeated after a crash or a lost answer: what is there must be the very object of this run.
func TestCreateAgain(t *testing.T) {
	cases := map[string]struct {
		there func(labels, annotations map[string]string)
		want  string
	}{
		"its own":             {func(_, _ map[string]string) {}, ""},
		"of another run":      {func(l, _ map[string]string) { l[v1alpha1.RunLabel] = "2" }, v1alpha1.ObjectOwnedReason},
		"of another release":  {func(l, _ map[string]string) { l[v1alpha1.ReleaseLabel] = "shop-2" }, v1alpha1.ObjectOwnedReason},
		"of another track":    {func(l, _ map[string]string) { l[v1alpha1.TrackLabel] = "other" }, v1alpha1.ObjectOwnedReason},
		"of other content":    {func(_, a map[string]string) { a[v1alpha1.DigestAnnotation] = "sha256:b" }, v1alpha1.ObjectOwnedReason},
		"without any of it":   {func(l, a map[string]string) { clear(l); clear(a) }, v1alpha1.ObjectOwnedReason},
		"without annotations": {func(_, a map[string]string) { clear(a) }, v1alpha1.ObjectOwnedReason},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := &Writer{Client: fake.NewClientBuilder().WithObjects(stampedConfig(tc.there)).Build()}
			want := stampedConfig()
			_, err := w.Create(t.Context(), want)
			if reasonOf(err) != tc.want || (tc.want == "" && err != nil) {
				t.Errorf("got %v, want reason %q", err, tc.want)
			}
			if tc.want != "" && !strings.Contains(err.Error(), "ConfigMap shop/config-1") {
				t.Errorf("the message does not name the object: %v", err)
			}
			if want.GetResourceVersion() != "" {
				t.Error("the caller's object was changed")
			}
		})
	}
}

func TestCreateThatIsGoneWhenLookedAt(t *testing.T) {
	exists := apierrors.NewAlreadyExists(schema.GroupResource{Resource: "configmaps"}, "config-1")
	w := &Writer{Client: fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return exists },
	}).Build()}
	_, err := w.Create(t.Context(), stampedConfig())
	if err == nil || reasonOf(err) != "" {
		t.Errorf("got %v, want an error that is tried again at once", err)
	}
}

func TestOwn(t *testing.T) {
	cases := map[string]struct {
		labels, annotations map[string]string
		absent              bool
		want                Ownership
		reason, words       string
	}{
		"absent":                     {absent: true, want: Absent},
		"ours":                       {labels: map[string]string{v1alpha1.TrackLabel: "shop"}, want: Ours},
		"permitted":                  {annotations: map[string]string{v1alpha1.AdoptAnnotation: "shop"}, want: Adoptable},
		"permitted to another track": {annotations: map[string]string{v1alpha1.AdoptAnnotation: "other"}, reason: v1alpha1.ObjectOwnedReason, words: "kubectl annotate"},
		"nobody's":                   {reason: v1alpha1.ObjectOwnedReason, words: "kubectl annotate -n shop ConfigMap config-1 stele.dev/adopt=shop"},
		"another track's":            {labels: map[string]string{v1alpha1.TrackLabel: "other"}, reason: v1alpha1.ObjectOwnedReason, words: "belongs to track other"},
		"another track's, permitted": {labels: map[string]string{v1alpha1.TrackLabel: "other"}, annotations: map[string]string{v1alpha1.AdoptAnnotation: "shop"},
			reason: v1alpha1.ObjectOwnedReason, words: "belongs to track other"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := fake.NewClientBuilder()
			if !tc.absent {
				b = b.WithObjects(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "config-1", Labels: tc.labels, Annotations: tc.annotations}})
			}
			got, err := (&Writer{Client: b.Build()}).Own(t.Context(), stampedConfig(), "shop")
			if got != tc.want || reasonOf(err) != tc.reason || (err == nil) != (tc.reason == "") {
				t.Errorf("got %q and %v, want %q and reason %q", got, err, tc.want, tc.reason)
			}
			if err != nil && !strings.Contains(err.Error(), tc.words) {
				t.Errorf("message lacks %q: %v", tc.words, err)
			}
		})
	}
}

// Only the very object that was seen is deleted, in the foreground; what is gone, or is another one by now, is fine.
func TestDelete(t *testing.T) {
	gr := schema.GroupResource{Resource: "configmaps"}
	failed := errors.New("connection reset")
	for name, tc := range map[string]struct{ answer, want error }{
		"deleted":          {nil, nil},
		"gone":             {apierrors.NewNotFound(gr, "a"), nil},
		"another by now":   {apierrors.NewConflict(gr, "a", errors.New("uid")), nil},
		"something failed": {failed, failed},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			w := &Writer{Client: fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				Delete: func(_ context.Context, _ client.WithWatch, _ client.Object, opts ...client.DeleteOption) error {
					asked++
					o := client.DeleteOptions{}
					o.ApplyOptions(opts)
					if o.PropagationPolicy == nil || *o.PropagationPolicy != metav1.DeletePropagationForeground {
						t.Errorf("propagation is %v", o.PropagationPolicy)
					}
					if o.Preconditions == nil || o.Preconditions.UID == nil || *o.Preconditions.UID != types.UID("u") {
						t.Errorf("preconditions are %v", o.Preconditions)
					}
					return tc.answer
				}}).Build()}
			err := w.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u"}})
			if !errors.Is(err, tc.want) || (tc.want == nil && err != nil) || asked != 1 {
				t.Errorf("got %v after %d requests", err, asked)
			}
		})
	}
}

// What the cluster does not let go is a refusal that names the object.
func TestDeleteRefused(t *testing.T) {
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "a", errors.New("legal hold"))
	w := &Writer{Client: fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return denied },
	}).Build()}
	err := w.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}})
	problem, ok := kube.AsRefusal(err)
	if !ok || problem.Reason != v1alpha1.RefusedByClusterReason || !strings.HasPrefix(problem.Message, "ConfigMap shop/a: ") ||
		!strings.Contains(problem.Message, "legal hold") {
		t.Errorf("got %v", err)
	}
}
