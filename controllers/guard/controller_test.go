package guard

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/internal/protection"
)

// setClock is a clock that a test sets.
type setClock struct{ now time.Time }

func (c *setClock) Now() time.Time { return c.now }

// answers is a prober that says what a test wants, and remembers when it was asked.
type answers struct {
	clock  *setClock
	result protection.Result
	asked  []time.Time
}

func (a *answers) ask(context.Context) (protection.Result, string) {
	a.asked = append(a.asked, a.clock.now)
	return a.result, "nothing came"
}

const thing = "releasetracks.stele.dev"

// newGuard is a guard of a cluster in which all is as shipped; reads counts live reads, and refuse makes them fail.
func newGuard(t *testing.T) (g *Guard, clock *setClock, probe *answers, reads *int, refuse *bool) {
	t.Helper()
	shipped, err := protection.Parse(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	var objects []client.Object
	for _, p := range shipped.Policies {
		objects = append(objects, p.DeepCopy())
	}
	for _, b := range shipped.Bindings {
		objects = append(objects, b.DeepCopy())
	}
	reads, refuse = new(int), new(bool)
	definitions := map[string]client.Reader{}
	var crds []client.Object
	for name, d := range shipped.Definitions {
		crds = append(crds, d.DeepCopy())
		about := newAbout()
		about.SetName(name)
		about.SetGeneration(1)
		definitions[name] = fake.NewClientBuilder().WithScheme(scheme).WithObjects(about).Build()
	}
	live := fake.NewClientBuilder().WithScheme(scheme).WithObjects(crds...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			*reads++
			if *refuse && key.Name == thing {
				return errors.New("connection refused")
			}
			return c.Get(ctx, key, obj, opts...)
		}}).Build()
	clock = &setClock{now: time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)}
	probe = &answers{clock: clock, result: protection.ResultDenied}
	return &Guard{watches: &watches{clock: clock}, namespace: "stele-system", shipped: shipped, policies: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), definitions: definitions,
		live: live, probe: probe, Clock: clock, Interval: defaultInterval, read: map[string]definition{}, canary: protection.Canary{Since: clock.now}}, clock, probe, reads, refuse
}

func look(t *testing.T, g *Guard) time.Duration {
	t.Helper()
	result, err := g.Reconcile(t.Context(), only)
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

// However often something changes, there are never more than two canaries in a minute, and never less than one in 33 s.
func TestTwoCanariesAMinute(t *testing.T) {
	g, clock, probe, reads, _ := newGuard(t)
	end := clock.now.Add(10 * time.Minute)
	for i := 0; clock.now.Before(end); i++ {
		after := look(t, g)
		if i%3 > 0 {
			after = min(after, 7*time.Second) // a watch
		}
		clock.now = clock.now.Add(after)
	}
	for i, at := range probe.asked {
		if i >= 2 && at.Sub(probe.asked[i-2]) < time.Minute {
			t.Errorf("three canaries within %s", at.Sub(probe.asked[i-2]))
		}
		if i >= 1 && at.Sub(probe.asked[i-1]) > 33*time.Second {
			t.Errorf("no canary for %s", at.Sub(probe.asked[i-1]))
		}
	}
	if len(probe.asked) < 17 {
		t.Errorf("only %d canaries in 10 minutes", len(probe.asked))
	}
	if *reads != len(g.shipped.Definitions) {
		t.Errorf("%d live reads of %d CustomResourceDefinitions that never changed", *reads, len(g.shipped.Definitions))
	}
	if f := g.Finding(); !f.Checked || len(f.Problems) > 0 {
		t.Errorf("found %v", f)
	}
}

// A definition that cannot be read is read again soon, what is known of it stands for a minute, and then it is said.
func TestDefinitionThatCannotBeRead(t *testing.T) {
	g, clock, _, _, refuse := newGuard(t)
	*refuse = true
	if after := look(t, g); after > soon {
		t.Errorf("the next look is after %s", after)
	}
	if g.Finding().Checked {
		t.Error("nothing is known of one definition, and all is said to be well")
	}
	clock.now = clock.now.Add(protection.Patience)
	look(t, g)
	want := []protection.Problem{{What: protection.CheckFailed, Kind: protection.KindDefinition, Name: thing}}
	if diff := cmp.Diff(want, g.Finding().Problems); diff != "" {
		t.Error(diff)
	}
	*refuse = false
	clock.now = clock.now.Add(soon)
	look(t, g)
	if f := g.Finding(); !f.Checked || len(f.Problems) > 0 {
		t.Errorf("it can be read again: %v", f)
	}
}

// A policy that is missing is said at once, even if nothing answers the canary.
func TestMissingPolicyWaitsForNoCanary(t *testing.T) {
	g, _, probe, _, _ := newGuard(t)
	probe.result = protection.ResultFailed
	gone := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: protection.CanaryPolicy}}
	if err := g.policies.(client.Client).Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	look(t, g)
	want := protection.Finding{Checked: true, Namespace: "stele-system", Problems: []protection.Problem{{What: protection.Missing, Kind: protection.KindPolicy, Name: protection.CanaryPolicy}}}
	if diff := cmp.Diff(want, g.Finding()); diff != "" {
		t.Error(diff)
	}
}

// Subscribers are woken when the finding changes, once for changes that they have not taken yet, and never otherwise.
func TestStateWakes(t *testing.T) {
	var s State
	one, two := s.Events(), s.Events()
	finding := func(n int) protection.Finding {
		return protection.Finding{Checked: true, Problems: slices.Repeat([]protection.Problem{{What: protection.Missing}}, n)}
	}
	woken := func(when string, want bool) {
		t.Helper()
		for i, c := range []<-chan event.GenericEvent{one, two} {
			if got := len(c) > 0; got != want {
				t.Errorf("%s: subscriber %d woken %v", when, i, got)
			}
			for len(c) > 0 {
				<-c
			}
		}
	}
	woken("at first", false)
	s.set(finding(0))
	woken("first finding", true)
	s.set(finding(0))
	woken("the same again", false)
	s.set(finding(1))
	s.set(finding(2))
	woken("two changes", true)
	woken("taken", false)
	if n := len(s.Finding().Problems); n != 2 {
		t.Errorf("%d problems", n)
	}
}

// Watches that fail for a minute are told; one that ends once in a while is not, and neither is what has passed.
func TestWatchesThatFail(t *testing.T) {
	cases := map[string]struct {
		at   []time.Duration // failures
		now  time.Duration
		want bool
	}{
		"none":              {now: time.Hour},
		"one":               {at: []time.Duration{0}, now: 2 * time.Second},
		"two far apart":     {at: []time.Duration{0, 8 * time.Minute}, now: 8 * time.Minute},
		"for half a minute": {at: []time.Duration{0, time.Second, 30 * time.Second}, now: 59 * time.Second},
		"for a minute":      {at: []time.Duration{0, time.Second, 30 * time.Second, time.Minute}, now: time.Minute, want: true},
		"still":             {at: []time.Duration{0, 45 * time.Second, 90 * time.Second}, now: 2 * time.Minute, want: true},
		"passed":            {at: []time.Duration{0, 45 * time.Second, 90 * time.Second}, now: 3 * time.Minute},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			start := time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)
			clock := &setClock{}
			w := &watches{clock: clock}
			for _, at := range tc.at {
				clock.now = start.Add(at)
				w.failed(t.Context(), nil, nil)
			}
			clock.now = start.Add(tc.now)
			if got := w.failing(); got != tc.want {
				t.Errorf("failing is %v", got)
			}
		})
	}
}

// Others' policies and the bulk of metadata are not held in memory.
func TestCacheHoldsLittle(t *testing.T) {
	ours := map[string]*admissionv1.ValidatingAdmissionPolicy{"ours": {}}
	transform := withoutOthers(ours)
	for _, name := range []string{"ours", "theirs"} {
		in := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid", ResourceVersion: "7", Annotations: map[string]string{"a": "b"}},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{Validations: []admissionv1.Validation{{Expression: "true"}}}}
		got, err := transform(in)
		if err != nil {
			t.Fatal(err)
		}
		p, ok := got.(*admissionv1.ValidatingAdmissionPolicy)
		if !ok || p.Name != name || p.UID != "uid" || p.ResourceVersion != "7" || p.Annotations != nil || (len(p.Spec.Validations) > 0) != (name == "ours") {
			t.Errorf("%s became %+v", name, got)
		}
	}
}
