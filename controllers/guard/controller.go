package guard

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/protection"
)

// Rights in the operator's own namespace, and those of the probe's service account, are in config/rbac/probe.yaml.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;list;watch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=auditledgers.stele.dev;breakglasses.stele.dev;immutablereleases.stele.dev;releasetracks.stele.dev,verbs=get;list;watch

const (
	// defaultInterval is the least time between two canaries; jitter makes it up to a tenth longer, so that there are never more than two a minute.
	defaultInterval = 30 * time.Second
	canaryJitter    = 0.1
	// soon is when to read again what could not be read, and blink when to see again whether the caches are filled.
	soon  = 5 * time.Second
	blink = time.Second
)

// Guard compares what is live with what is shipped at every change of it, and sends the canary.
type Guard struct {
	State
	// Interval is the least time between two canaries.
	Interval time.Duration
	// Clock: see kube.SteadyClock.
	Clock kube.Clock

	namespace string
	shipped   *protection.Objects
	// policies holds policies and bindings; those of others without their content.
	policies client.Reader
	// definitions, by name, hold the metadata of one CustomResourceDefinition of ours each; live reads one.
	definitions map[string]client.Reader
	live        client.Reader
	probe       prober
	watches     *watches

	// What follows is touched by one reconcile at a time.
	canary protection.Canary
	next   time.Time
	read   map[string]definition
}

// prober sends a canary and says what became of it, and why it proves nothing, where it does not.
type prober interface {
	ask(ctx context.Context) (protection.Result, string)
}

// Reconcile looks at everything. There is one request only.
func (g *Guard) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	problems, again, err := g.look(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	g.sendCanary(ctx)
	now := g.Clock.Now()
	problems = append(problems, g.canary.Problems(now)...)
	protection.Sort(problems)
	g.tell(ctx, protection.Finding{Problems: problems, Checked: len(problems) > 0 || again == 0 && g.canary.Answered(now), Namespace: g.namespace})
	after := g.next.Sub(now)
	if again > 0 {
		after = min(after, again)
	}
	return ctrl.Result{RequeueAfter: max(after, time.Millisecond)}, nil
}

// unwatched is what is wrong while the caches cannot be relied on.
var unwatched = protection.Problem{What: protection.CheckFailed, Detail: "the operator cannot watch policies or CustomResourceDefinitions; look at its ClusterRole and its log"}

// look compares if the caches can be relied on. again is when to look again at the latest, because something stood in the way; zero: nothing did.
func (g *Guard) look(ctx context.Context) (problems []protection.Problem, again time.Duration, err error) {
	if !g.watches.complete() {
		if g.Clock.Now().Sub(g.canary.Since) >= protection.Patience {
			problems = append(problems, unwatched)
		}
		return problems, blink, nil
	}
	problems, complete, err := g.compare(ctx)
	if !complete {
		again = soon
	}
	if g.watches.failing() {
		problems = append(problems, unwatched)
	}
	return problems, again, err
}

// compare reads what is live, most of it from the cache. complete: nothing stood in the way.
func (g *Guard) compare(ctx context.Context) (problems []protection.Problem, complete bool, err error) {
	live := protection.NewObjects()
	for name := range g.shipped.Policies {
		if err := get(ctx, g.policies, name, live.Policies); err != nil {
			return nil, false, err
		}
	}
	for name := range g.shipped.Bindings {
		if err := get(ctx, g.policies, name, live.Bindings); err != nil {
			return nil, false, err
		}
	}
	problems, complete = protection.Compare(&protection.Objects{Policies: g.shipped.Policies, Bindings: g.shipped.Bindings}, live), true
	for name := range g.shipped.Definitions {
		found, ok, err := g.compareDefinition(ctx, name)
		if err != nil {
			return nil, false, err
		}
		problems, complete = append(problems, found...), complete && ok
	}
	return problems, complete, nil
}

// get puts an object into the map if it is there.
func get[T any, P interface {
	*T
	client.Object
}](ctx context.Context, from client.Reader, name string, into map[string]P) error {
	obj := P(new(T))
	err := from.Get(ctx, client.ObjectKey{Name: name}, obj)
	if err == nil {
		into[name] = obj
	}
	return client.IgnoreNotFound(err)
}

// sendCanary sends one when it is time.
func (g *Guard) sendCanary(ctx context.Context) {
	now := g.Clock.Now()
	if now.Before(g.next) {
		return
	}
	g.next = now.Add(wait.Jitter(g.Interval, canaryJitter))
	asking, cancel := context.WithTimeout(ctx, canaryTimeout)
	defer cancel()
	result, failure := g.probe.ask(asking)
	if ctx.Err() != nil {
		return // the operator ends; that says nothing about the policies
	}
	canaries.WithLabelValues(string(result)).Inc()
	g.canary.Note(result, failure, g.Clock.Now())
}

// tell notes the finding; when it is another one than before, that is logged, and the tracks hear of it.
func (g *Guard) tell(ctx context.Context, f protection.Finding) {
	if !g.set(f) {
		return
	}
	measure(f)
	log := ctrl.LoggerFrom(ctx)
	switch {
	case !f.Checked:
	case len(f.Problems) == 0:
		log.Info("the admission policies are in force")
	default:
		log.Info("the admission policies are not in force as they were shipped", "problems", f.Problems)
	}
}

// definition is what was last found of a CustomResourceDefinition.
type definition struct {
	version  string
	problems []protection.Problem
	// failing is since when it could not be read; zero: it could.
	failing time.Time
}

// compareDefinition reads a CustomResourceDefinition when it is another one than last time, and lets it go again: they are large.
func (g *Guard) compareDefinition(ctx context.Context, name string) (problems []protection.Problem, ok bool, err error) {
	shipped, about, last := g.shipped.Definitions[name], newAbout(), g.read[name]
	err = g.definitions[name].Get(ctx, client.ObjectKey{Name: name}, about)
	switch {
	case apierrors.IsNotFound(err):
		g.read[name] = definition{}
		return protection.CompareDefinition(shipped, nil), true, nil
	case err != nil:
		return nil, false, err
	case last.version == versionOf(about):
		return last.problems, true, nil
	}
	found, err := g.readDefinition(ctx, name)
	if err == nil {
		now := definition{version: versionOf(about), problems: protection.CompareDefinition(shipped, found)}
		g.read[name] = now
		return now.problems, true, nil
	}
	now := g.Clock.Now()
	if last.failing.IsZero() {
		last.failing = now
	}
	last.version = ""
	g.read[name] = last
	if now.Sub(last.failing) < protection.Patience {
		return last.problems, false, nil
	}
	return []protection.Problem{{What: protection.CheckFailed, Kind: protection.KindDefinition, Name: name}}, false, nil
}
