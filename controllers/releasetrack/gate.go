package releasetrack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// permit asks the cluster whether a release may run: every kind known, the service account allowed, no object somebody else's,
// no Service of others that selects the new pods. It is asked for every run; a refusal is asked again later.
func (r *Reconciler) permit(ctx context.Context, s *scope, rel *v1alpha1.ImmutableRelease, step release.Step) error {
	bundle, err := r.checkedBundle(ctx, rel)
	if err != nil {
		return refused(err)
	}
	reviews, err := r.reviews(bundle)
	if err != nil {
		return err
	}
	return firstError(
		func() error { return r.permissions.accountExists(ctx, s.account()) },
		func() error { return r.permissions.ask(ctx, s.account(), reviews) },
		func() error { return r.ownAll(ctx, s, bundle) },
		func() error { return r.foreignSelectors(ctx, s, bundle, step) },
	)
}

// foreignSelectors refuses a run whose pods a Service outside the track would send traffic to. The cache holds Services of tracks
// only, so they are listed live, once for each run. A run that uses the workloads of another makes no pods.
func (r *Reconciler) foreignSelectors(ctx context.Context, s *scope, b *render.Bundle, step release.Step) error {
	run := b.PodLabels(s.track.Name, step.Release, step.Run)
	if step.Shared != nil || len(run) == 0 {
		return nil
	}
	var list corev1.ServiceList
	if err := r.Live.List(ctx, &list, client.InNamespace(s.track.Namespace)); err != nil {
		return kube.Classify(err, "Services of namespace "+s.track.Namespace)
	}
	services := make([]policy.Service, 0, len(list.Items))
	for i := range list.Items {
		svc := &list.Items[i]
		if svc.Spec.Type == corev1.ServiceTypeExternalName {
			continue // its selector selects nothing
		}
		services = append(services, policy.Service{Name: svc.Name, Track: svc.Labels[v1alpha1.TrackLabel], Selector: svc.Spec.Selector})
	}
	own := map[string]bool{}
	for _, o := range b.Objects {
		if gvk := o.Object.GroupVersionKind(); gvk.Group == "" && gvk.Kind == "Service" {
			own[o.Object.GetName()] = true
		}
	}
	if found := policy.ForeignServices(s.track.Name, services, run, own); found != "" {
		return kube.Refuse(v1alpha1.ForeignSelectorReason, found)
	}
	return nil
}

// askEarly puts the questions that permit will put, while the release is being made: its answers are there when it begins.
func (r *Reconciler) askEarly(ctx context.Context, s *scope, b *render.Bundle) (wait func()) {
	var wg sync.WaitGroup
	if b == nil || s.track.Spec.Pin != "" {
		return wg.Wait // it will not begin now
	}
	if reviews, err := r.reviews(b); err == nil {
		account := s.account()
		// What is wrong is found again, and said, by permit.
		wg.Go(func() { _ = r.permissions.accountExists(ctx, account) })
		wg.Go(func() { _ = r.permissions.ask(ctx, account, reviews) })
	}
	return wg.Wait
}

// firstError asks all questions at once and returns the first error in their order.
func firstError(questions ...func() error) error {
	errs := make([]error, len(questions))
	var wg sync.WaitGroup
	for i, ask := range questions {
		wg.Go(func() { errs[i] = ask() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ownAll asks whether an object that keeps its name is somebody else's already. What the active release has is the track's.
func (r *Reconciler) ownAll(ctx context.Context, s *scope, b *render.Bundle) error {
	errs := make([]error, len(b.Objects))
	slots := make(chan struct{}, parallelWrites)
	var wg sync.WaitGroup
	for i := range b.Objects {
		o := &b.Objects[i]
		keepsName := o.Class == v1alpha1.ClassStable || o.Class == v1alpha1.ClassInPlace
		if !keepsName || s.activeHas(o) {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, errs[i] = r.Writer.Own(ctx, o.Object, s.track.Name)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// activeHas reports whether the active release has an object of that kind and name.
func (s *scope) activeHas(o *render.Object) bool {
	active := s.releases[s.plan.Active]
	return active != nil && slices.ContainsFunc(active.Spec.Objects, func(a v1alpha1.ReleaseObject) bool {
		return a.Group == o.Object.GroupVersionKind().Group && a.Kind == o.Object.GetKind() && a.Name == o.Object.GetName()
	})
}

// reviews lists the questions of a bundle, one per kind and verb.
func (r *Reconciler) reviews(b *render.Bundle) ([]review, error) {
	seen := map[review]bool{}
	var unknown []string
	for _, o := range b.Objects {
		gvk := o.Object.GroupVersionKind()
		mapping, err := r.Live.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil && !apimeta.IsNoMatchError(err) {
			return nil, fmt.Errorf("look up %s: %w", gvk.GroupKind(), err)
		}
		if err != nil {
			unknown = append(unknown, fmt.Sprintf("%s (%s)", apply.Describe(o.Object), gvk.GroupVersion()))
			continue
		}
		if mapping.Scope.Name() != "namespace" {
			return nil, kube.Refuse(v1alpha1.RefusedByClusterReason, fmt.Sprintf(
				"%s is cluster-scoped; a release holds objects of its namespace only", apply.Describe(o.Object)))
		}
		for _, verb := range verbs(o.Class) {
			seen[review{mapping.Resource.Group, mapping.Resource.Resource, verb}] = true
		}
	}
	if len(unknown) > 0 {
		return nil, kube.Refuse(v1alpha1.UnknownKindReason, fmt.Sprintf(
			"the cluster does not know the kind of %s; install its CustomResourceDefinition or take it out of Git", strings.Join(unknown, ", ")))
	}
	out := make([]review, 0, len(seen))
	for q := range seen {
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b review) int {
		return strings.Compare(a.group+a.resource+a.verb, b.group+b.resource+b.verb)
	})
	return out, nil
}

// verbs are what a release does to an object of a class.
func verbs(class v1alpha1.ObjectClass) []string {
	if class == v1alpha1.ClassVersioned || class == v1alpha1.ClassRecreate {
		return []string{"create", "delete"}
	}
	return []string{"create", "patch", "delete"}
}
