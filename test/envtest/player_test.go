package envtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// readyAnnotation on a pod template: "false" makes its pods never ready.
const readyAnnotation = "test.example/ready"

// player acts for the built-in controllers, one namespace at a time. It looks at live state, so that what it does follows from
// what is there.
type player struct{ client.Client }

func startPlayer(ctx context.Context) (<-chan struct{}, error) {
	mgr, err := ctrl.NewManager(suite.config, ctrl.Options{
		Scheme: suite.scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Client:     client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	if err != nil {
		return nil, err
	}
	p := &player{mgr.GetClient()}
	byNamespace := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []ctrl.Request {
		return []ctrl.Request{{NamespacedName: key("", o.GetNamespace())}}
	})
	err = ctrl.NewControllerManagedBy(mgr).Named("player").WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Watches(&appsv1.Deployment{}, byNamespace).Watches(&appsv1.StatefulSet{}, byNamespace).Watches(&corev1.Pod{}, byNamespace).
		Watches(&batchv1.Job{}, byNamespace).Watches(&batchv1.CronJob{}, byNamespace).Watches(&corev1.Service{}, byNamespace).Watches(&discoveryv1.EndpointSlice{}, byNamespace).
		Complete(reconcile.Func(p.play))
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = mgr.Start(ctx)
	}()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.New("the player's cache does not fill")
	}
	return done, nil
}

func (p *player) play(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ns := req.Name
	var deployments appsv1.DeploymentList
	var pods corev1.PodList
	var services corev1.ServiceList
	var sets appsv1.StatefulSetList
	var jobs batchv1.JobList
	var cronJobs batchv1.CronJobList
	for _, list := range []client.ObjectList{&deployments, &pods, &services, &sets, &jobs, &cronJobs} {
		if err := p.List(ctx, list, client.InNamespace(ns)); err != nil {
			return ctrl.Result{}, err
		}
	}
	owned := map[string][]*corev1.Pod{}
	owners := map[string]bool{}
	for i := range deployments.Items {
		owners[string(deployments.Items[i].UID)] = true
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if len(pod.OwnerReferences) == 0 {
			if err := p.makeReady(ctx, pod); err != nil {
				return retry(err)
			}
			continue
		}
		owner := string(pod.OwnerReferences[0].UID)
		if !owners[owner] && pod.DeletionTimestamp.IsZero() {
			if err := client.IgnoreNotFound(p.Delete(ctx, pod)); err != nil {
				return retry(err)
			}
			continue
		}
		owned[owner] = append(owned[owner], pod)
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		if err := p.deployment(ctx, d, owned[string(d.UID)]); err != nil {
			return retry(err)
		}
	}
	for i := range sets.Items {
		if err := p.statefulSet(ctx, &sets.Items[i]); err != nil {
			return retry(err)
		}
	}
	for i := range jobs.Items {
		if err := p.job(ctx, &jobs.Items[i]); err != nil {
			return retry(err)
		}
	}
	for i := range cronJobs.Items {
		if err := p.letGo(ctx, &cronJobs.Items[i]); err != nil {
			return retry(err)
		}
	}
	for i := range services.Items {
		if err := p.endpoints(ctx, &services.Items[i], pods.Items); err != nil {
			return retry(err)
		}
	}
	return ctrl.Result{}, nil
}

// retry: the world moved on, and an event says so, or the namespace went away.
func retry(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) || apierrors.IsForbidden(err) {
		return ctrl.Result{RequeueAfter: 20_000_000}, nil
	}
	return ctrl.Result{}, err
}

// deployment keeps as many pods as asked for; one that is deleted in the foreground goes when its pods are gone.
func (p *player) deployment(ctx context.Context, d *appsv1.Deployment, pods []*corev1.Pod) error {
	if !d.DeletionTimestamp.IsZero() {
		for _, pod := range pods {
			if pod.DeletionTimestamp.IsZero() {
				if err := client.IgnoreNotFound(p.Delete(ctx, pod)); err != nil {
					return err
				}
			}
		}
		if i := slices.Index(d.Finalizers, metav1.FinalizerDeleteDependents); i >= 0 && len(pods) == 0 {
			copied := d.DeepCopy()
			copied.Finalizers = slices.Delete(copied.Finalizers, i, i+1)
			return client.IgnoreNotFound(p.Update(ctx, copied))
		}
		return nil
	}
	want, ready := ptr.Deref(d.Spec.Replicas, 1), int32(0)
	have := map[string]bool{}
	for _, pod := range pods {
		have[pod.Name] = true
		if err := p.makeReady(ctx, pod); err != nil {
			return err
		}
		if isReady(pod) {
			ready++
		}
	}
	for i := range want {
		name := fmt.Sprintf("%s-%d", d.Name, i)
		if have[name] {
			continue
		}
		pod := &corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
		pod.Namespace, pod.Name = d.Namespace, name
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}}
		if err := p.Create(ctx, pod); err != nil {
			return err
		}
	}
	status := appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: int32(len(pods)), UpdatedReplicas: int32(len(pods)),
		ReadyReplicas: ready, AvailableReplicas: ready, UnavailableReplicas: want - ready}
	available, reason := corev1.ConditionFalse, "ReplicaSetUpdated"
	if ready >= want {
		available, reason = corev1.ConditionTrue, "NewReplicaSetAvailable"
	}
	status.Conditions = []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentAvailable, Status: available, Reason: "MinimumReplicas"},
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: reason},
	}
	if equality.Semantic.DeepEqual(status, d.Status) {
		return nil
	}
	copied := d.DeepCopy()
	copied.Status = status
	return p.Status().Update(ctx, copied)
}

// statefulSet has no pods: its status says that one is ready, or, with the annotation, that none is.
func (p *player) statefulSet(ctx context.Context, s *appsv1.StatefulSet) error {
	if i := slices.Index(s.Finalizers, metav1.FinalizerDeleteDependents); i >= 0 {
		copied := s.DeepCopy()
		copied.Finalizers = slices.Delete(copied.Finalizers, i, i+1)
		return client.IgnoreNotFound(p.Update(ctx, copied))
	}
	ready := int32(1)
	if s.Annotations[readyAnnotation] == "false" || s.Spec.Template.Annotations[readyAnnotation] == "false" {
		ready = 0
	}
	want := appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: 1, CurrentReplicas: 1, UpdatedReplicas: 1,
		ReadyReplicas: ready, AvailableReplicas: ready, CurrentRevision: "a", UpdateRevision: "a"}
	want.CollisionCount = s.Status.CollisionCount
	if equality.Semantic.DeepEqual(want, s.Status) {
		return nil
	}
	copied := s.DeepCopy()
	copied.Status = want
	return client.IgnoreNotFound(p.Status().Update(ctx, copied))
}

// job has no pods: it succeeds at once.
func (p *player) job(ctx context.Context, j *batchv1.Job) error {
	if !j.DeletionTimestamp.IsZero() {
		return p.letGo(ctx, j)
	}
	if j.Status.Succeeded > 0 {
		return nil
	}
	now := metav1.Now()
	copied := j.DeepCopy()
	copied.Status = batchv1.JobStatus{StartTime: &now, CompletionTime: &now, Succeeded: 1, UncountedTerminatedPods: &batchv1.UncountedTerminatedPods{},
		Conditions: []batchv1.JobCondition{
			{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, LastProbeTime: now, LastTransitionTime: now},
			{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastProbeTime: now, LastTransitionTime: now},
		}}
	return client.IgnoreNotFound(p.Status().Update(ctx, copied))
}

// letGo does what the garbage collector does for an object that owns nothing.
func (p *player) letGo(ctx context.Context, obj client.Object) error {
	if obj.GetDeletionTimestamp().IsZero() || len(obj.GetFinalizers()) == 0 {
		return nil
	}
	copied := obj.DeepCopyObject().(client.Object)
	copied.SetFinalizers(slices.DeleteFunc(slices.Clone(obj.GetFinalizers()), func(f string) bool {
		return f == metav1.FinalizerDeleteDependents || f == metav1.FinalizerOrphanDependents
	}))
	return client.IgnoreNotFound(p.Update(ctx, copied))
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (p *player) makeReady(ctx context.Context, pod *corev1.Pod) error {
	want := pod.Annotations[readyAnnotation] != "false"
	if !pod.DeletionTimestamp.IsZero() || len(pod.Status.Conditions) > 0 && isReady(pod) == want {
		return nil
	}
	copied := pod.DeepCopy()
	c := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	if !want {
		c.Status, c.Message = corev1.ConditionFalse, "the test keeps it so"
	}
	copied.Status.Phase, copied.Status.Conditions = corev1.PodRunning, []corev1.PodCondition{c}
	return p.Status().Update(ctx, copied)
}

func (p *player) endpoints(ctx context.Context, svc *corev1.Service, pods []corev1.Pod) error {
	name := svc.Name + "-slice"
	if len(svc.Spec.Selector) == 0 || !svc.DeletionTimestamp.IsZero() {
		return nil
	}
	selector := labels.SelectorFromSet(svc.Spec.Selector)
	var endpoints []discoveryv1.Endpoint
	for i := range pods {
		pod := &pods[i]
		if !selector.Matches(labels.Set(pod.Labels)) || !pod.DeletionTimestamp.IsZero() {
			continue
		}
		endpoints = append(endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.0.0.%d", i%250+1)},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(isReady(pod))},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}})
	}
	l := maps.Clone(svc.Labels)
	if l == nil {
		l = map[string]string{}
	}
	l[discoveryv1.LabelServiceName] = svc.Name
	want := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: name, Labels: l,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: svc.Name, UID: svc.UID}}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints}
	have := &discoveryv1.EndpointSlice{}
	err := p.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		return p.Create(ctx, want)
	}
	if err != nil || (equality.Semantic.DeepEqual(have.Labels, want.Labels) && sameEndpoints(have.Endpoints, want.Endpoints)) {
		return err
	}
	have = have.DeepCopy()
	have.Labels, have.Endpoints = want.Labels, want.Endpoints
	return p.Update(ctx, have)
}

func sameEndpoints(a, b []discoveryv1.Endpoint) bool {
	return slices.EqualFunc(a, b, func(x, y discoveryv1.Endpoint) bool {
		return x.TargetRef.Name == y.TargetRef.Name && *x.Conditions.Ready == *y.Conditions.Ready
	})
}

// runLabels of an object, as release/run.
func runLabels(l map[string]string) string {
	return l[v1alpha1.ReleaseLabel] + "/" + l[v1alpha1.RunLabel]
}
