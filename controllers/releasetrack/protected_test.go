package releasetrack

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/protection"
)

// known is what a test says of the policies.
type known struct{ finding protection.Finding }

func (k known) Finding() protection.Finding     { return k.finding }
func (known) Events() <-chan event.GenericEvent { return nil }

func namespaceNamed(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func TestProtectedFollowsPoliciesAndNamespace(t *testing.T) {
	enforced := namespaceNamed("shop", map[string]string{v1alpha1.EnforcedLabel: v1alpha1.Enforced})
	fine := protection.Finding{Checked: true}
	changed := protection.Finding{Checked: true, Problems: []protection.Problem{{What: protection.Changed, Kind: protection.KindPolicy, Name: "p"}}}
	stored := func(status metav1.ConditionStatus, reason string) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.ProtectedCondition, Status: status, Reason: reason}
	}
	cases := map[string]struct {
		protection Protection
		namespace  *corev1.Namespace
		stored     *metav1.Condition
		want       string
		event      string
	}{
		"nobody looks after the policies":           {namespace: enforced, want: "Unknown NotChecked"},
		"not looked at yet":                         {protection: known{}, namespace: enforced, want: "Unknown NotChecked"},
		"a restart is no news":                      {protection: known{}, namespace: enforced, stored: stored("True", "Enforced"), want: "True Enforced"},
		"a restart while it is lost":                {protection: known{}, namespace: enforced, stored: stored("False", "PolicyMissing"), want: "False PolicyMissing"},
		"in force":                                  {protection: known{fine}, namespace: enforced, want: "True Enforced"},
		"no label":                                  {protection: known{fine}, namespace: namespaceNamed("shop", nil), want: "False NamespaceNotEnforced"},
		"the label is gone":                         {protection: known{fine}, namespace: namespaceNamed("shop", nil), stored: stored("True", "Enforced"), want: "False NamespaceNotEnforced", event: "Warning NamespaceNotEnforced"},
		"the cache does not show the namespace":     {protection: known{fine}, stored: stored("True", "Enforced"), want: "True Enforced"},
		"the cache never showed the namespace":      {protection: known{fine}, want: "Unknown NotChecked"},
		"changed":                                   {protection: known{changed}, namespace: enforced, stored: stored("True", "Enforced"), want: "False PolicyChanged", event: "Warning PolicyChanged"},
		"changed, and it was told":                  {protection: known{changed}, namespace: enforced, stored: stored("False", "PolicyChanged"), want: "False PolicyChanged"},
		"changed, and before something was missing": {protection: known{changed}, namespace: enforced, stored: stored("False", "PolicyMissing"), want: "False PolicyChanged", event: "Warning PolicyChanged"},
		"in force again":                            {protection: known{fine}, namespace: enforced, stored: stored("False", "PolicyMissing"), want: "True Enforced", event: "Normal Enforced"},
		"in force, and it was told":                 {protection: known{fine}, namespace: enforced, stored: stored("True", "Enforced"), want: "True Enforced"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			builder := fake.NewClientBuilder()
			if tc.namespace != nil {
				builder = builder.WithObjects(tc.namespace)
			}
			recorder := events.NewFakeRecorder(1)
			r := &Reconciler{Client: builder.Build(), Recorder: recorder, Protection: tc.protection}
			s := &scope{track: newTrack()}
			if tc.stored != nil {
				s.track.Status.Conditions = []metav1.Condition{*tc.stored}
			}
			s.stored = *s.track.Status.DeepCopy()
			if err := r.judge(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			describeProtection(s)
			r.tellOfProtection(s)
			c := apimeta.FindStatusCondition(s.track.Status.Conditions, v1alpha1.ProtectedCondition)
			if c == nil || string(c.Status)+" "+c.Reason != tc.want {
				t.Errorf("got %v, want %s", c, tc.want)
			}
			got := ""
			if len(recorder.Events) > 0 {
				got = <-recorder.Events
			}
			if !strings.HasPrefix(got, tc.event) || (tc.event == "") != (got == "") {
				t.Errorf("event is %q, want %q", got, tc.event)
			}
		})
	}
}

func TestNamespacesAreHeldWithOneLabel(t *testing.T) {
	in := newNamespace()
	in.Name, in.Annotations = "shop", map[string]string{"a": "b"}
	in.Labels = map[string]string{"team": "x", v1alpha1.EnforcedLabel: v1alpha1.Enforced}
	got, err := enforcedOnly(in)
	if err != nil {
		t.Fatal(err)
	}
	want := newNamespace()
	want.Name, want.Labels = "shop", map[string]string{v1alpha1.EnforcedLabel: v1alpha1.Enforced}
	if diff := cmp.Diff(client.Object(want), got); diff != "" {
		t.Error(diff)
	}
}
