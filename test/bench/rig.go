package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// rig is what all cases of a run share: one cluster and one observer.
type rig struct {
	cluster  *testkit.Cluster
	observer *observer
	ledger   *testkit.Ledger // writes the log of all stages
	operator string          // path of the binary
	args     []string
	dir      string
	progress io.Writer
	stages   int
}

// newRig starts the cluster. The folder is the caller's to remove.
func newRig(ctx context.Context, cluster, operator, dir string, progress io.Writer) (*rig, error) {
	c, err := testkit.StartCluster(ctx, cluster, progress)
	if err != nil {
		return nil, err
	}
	r := &rig{cluster: c, operator: operator, dir: dir, progress: progress}
	home := filepath.Join(dir, "ledger")
	kubeconfig, err := c.LedgerKubeconfig(ctx, filepath.Join(home, "kubeconfig"))
	if err == nil {
		r.ledger, err = testkit.StartLedger(ctx, operator, kubeconfig, home)
	}
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if r.observer, err = startObserver(ctx, c); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return r, nil
}

// stop ends the cluster, and the writer before it.
func (r *rig) stop() error { return errors.Join(r.ledger.Stop(), r.cluster.Stop()) }

func (r *rig) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.progress, "  "+format+"\n", args...)
}

// stage is what one case runs on: a namespace, a Git server and an operator of its own, so that no case finds what another
// has left.
type stage struct {
	*rig
	namespace string
	git       *gitserver.Server
	op        *testkit.Operator
	proxy     *proxy // nil: the operator talks to the API server directly
	// kubeconfig is the operator's, and home has its cache and its log.
	kubeconfig, home string
	token            int
}

// newStage starts the Git server and the operator. counted puts the proxy between the operator and the API server.
func (r *rig) newStage(ctx context.Context, name string, counted bool) (*stage, error) {
	r.stages++
	s := &stage{rig: r, namespace: fmt.Sprintf("bench-%s-%d", name, r.stages)}
	s.home = filepath.Join(r.dir, s.namespace)
	var err error
	if s.git, err = gitserver.New(filepath.Join(s.home, "git")); err != nil {
		return nil, err
	}
	if err := s.makeTenant(ctx); err != nil {
		return nil, errors.Join(err, s.end(ctx))
	}
	if s.kubeconfig, err = s.operatorKubeconfig(ctx, counted); err != nil {
		return nil, errors.Join(err, s.end(ctx))
	}
	if s.op, err = testkit.StartOperator(ctx, r.operator, s.kubeconfig, s.home, r.args...); err != nil {
		return nil, errors.Join(err, s.end(ctx))
	}
	return s, nil
}

// operatorKubeconfig leads to the API server with the operator's own identity, which the admission policies know; counted: through
// the proxy.
func (s *stage) operatorKubeconfig(ctx context.Context, counted bool) (string, error) {
	if !counted {
		return s.cluster.OperatorKubeconfig(ctx, filepath.Join(s.home, "kubeconfig"))
	}
	config, err := s.cluster.OperatorConfig(ctx)
	if err != nil {
		return "", err
	}
	if s.proxy, err = startProxy(config, s.home); err != nil {
		return "", err
	}
	return s.proxy.kubeconfig, nil
}

// restart ends the operator and starts it again over the same cache.
func (s *stage) restart(ctx context.Context) error {
	err := s.op.Stop()
	if err == nil {
		s.op, err = testkit.StartOperator(ctx, s.operator, s.kubeconfig, s.home, s.args...)
	}
	return err
}

// makeTenant makes the namespace with the service account that bounds the releases, and the Secret for Git over HTTPS.
func (s *stage) makeTenant(ctx context.Context) error {
	if err := s.cluster.Onboard(ctx, s.namespace); err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: "deployer"}
	all := []string{"create", "patch", "delete"}
	for _, obj := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"configmaps", "services"}, Verbs: all},
			{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: all},
		}},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: meta.Name}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "git"}, Data: s.git.HTTPSecret()},
	} {
		if err := s.cluster.Client.Create(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

// end lets the tracks go while the operator is there to do it, stops the operator and removes the namespace with what they have left.
func (s *stage) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*time.Minute)
	defer cancel()
	var errs []error
	if s.op != nil {
		errs = append(errs, s.deleteTracks(ctx), s.op.Stop())
	}
	if s.proxy != nil {
		s.proxy.close()
	}
	s.git.Close()
	return errors.Join(append(errs, s.deleteNamespace(ctx, s.namespace))...)
}

// deleteTracks deletes all tracks and waits until they are gone. Nobody but the operator takes their finalizers away, and a namespace
// with tracks in it is not deleted.
func (s *stage) deleteTracks(ctx context.Context) error {
	if err := s.cluster.Client.DeleteAllOf(ctx, &v1alpha1.ReleaseTrack{}, client.InNamespace(s.namespace)); err != nil {
		return err
	}
	return testkit.Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		var tracks v1alpha1.ReleaseTrackList
		err := s.cluster.Client.List(ctx, &tracks, client.InNamespace(s.namespace))
		if err == nil && len(tracks.Items) > 0 {
			err = fmt.Errorf("%d tracks of %s are still there", len(tracks.Items), s.namespace)
		}
		return err
	})
}

// deleteNamespace waits until a namespace is gone: what the cluster does for it must not disturb the next case.
func (r *rig) deleteNamespace(ctx context.Context, name string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := client.IgnoreNotFound(r.cluster.Client.Delete(ctx, ns)); err != nil {
		return err
	}
	return testkit.Eventually(ctx, 2*time.Minute, func(ctx context.Context) error {
		err := r.cluster.Client.Get(ctx, client.ObjectKeyFromObject(ns), ns)
		if testkit.IsGone(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("namespace %s is still there", name))
	})
}

// each does something to all items, eight at a time.
func each[T any](items []T, do func(T) error) error {
	errs := make([]error, len(items))
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = do(item)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// following says what a track follows.
type following struct {
	app      app
	repo     string
	path     string
	interval time.Duration
	drain    time.Duration
}

func (s *stage) createTrack(ctx context.Context, f following) error {
	track := &v1alpha1.ReleaseTrack{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: f.app.name},
		Spec: v1alpha1.ReleaseTrackSpec{
			Interval: metav1.Duration{Duration: f.interval}, Timeout: metav1.Duration{Duration: 5 * time.Minute}, ServiceAccountName: "deployer",
			Source: v1alpha1.TrackSource{URL: s.git.HTTPSURL(f.repo), Ref: v1alpha1.GitRef{Branch: "main"}, Path: f.path,
				SecretRef: &v1alpha1.LocalObjectReference{Name: "git"}},
			Rollout: v1alpha1.Rollout{Drain: metav1.Duration{Duration: f.drain}, ProgressDeadline: metav1.Duration{Duration: 10 * time.Minute},
				TerminationDeadline: metav1.Duration{Duration: 10 * time.Minute}},
			// What runs goes with the namespace.
			DeletionPolicy: v1alpha1.DeletionOrphan,
			// Every repetition makes a release; none may be removed while the next one is measured.
			History: v1alpha1.History{MinAge: metav1.Duration{Duration: 720 * time.Hour}},
		},
	}
	return s.cluster.Client.Create(ctx, track)
}

func (s *stage) key(a app) types.NamespacedName {
	return types.NamespacedName{Namespace: s.namespace, Name: a.name}
}

// trigger asks for an immediate look at Git, as `flux reconcile` and webhooks do.
func (s *stage) trigger(ctx context.Context, apps ...app) error {
	s.token++
	token := strconv.Itoa(s.token)
	return each(apps, func(a app) error {
		track := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: a.name}}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.ReconcileRequestAnnotation, token)
		return s.cluster.Client.Patch(ctx, track, client.RawPatch(types.MergePatchType, []byte(patch)))
	})
}

func (s *stage) patchTrack(ctx context.Context, a app, patch string) error {
	return s.cluster.PatchTrack(ctx, s.namespace, a.name, patch)
}

// rest waits until nothing moves any more.
func (s *stage) rest(ctx context.Context, apps []app) error {
	pods := 0
	for _, a := range apps {
		pods += int(a.replicas)
	}
	if _, err := s.observer.await(ctx, s.observer.settled(s.namespace, len(apps), pods), "tracks of "+s.namespace+" to rest"); err != nil {
		return fmt.Errorf("%w; %s", err, s.observer.unrest(s.namespace))
	}
	return nil
}

// live is when traffic had moved, and when the release said so.
type live struct {
	switched, active time.Duration
	now              runOf
	way              way
}

// way splits the time to live traffic of one app: until its Deployment is there, until that is ready, until the endpoints
// have moved. In milliseconds.
type way [3]float64

func (o *observer) way(ctx context.Context, p parts, start, switched time.Time) (way, error) {
	created, err := o.await(ctx, p.created, "the new Deployment")
	if err != nil {
		return way{}, err
	}
	ready, err := o.await(ctx, p.ready, "the new Deployment's replicas")
	return way{millis(created.Sub(start)), millis(ready.Sub(created)), millis(switched.Sub(ready))}, err
}

// roll does something to all apps and waits until each runs another run than before.
func (s *stage) roll(ctx context.Context, apps []app, do func() error) (live, error) {
	old := make([]runOf, len(apps))
	var switched, active []*moment
	for i, a := range apps {
		old[i] = s.observer.running(s.key(a))
		switched = append(switched, s.observer.switched(s.key(a), s.observer.endpoints(s.key(a)), a.replicas))
		active = append(active, s.observer.active(s.key(a), old[i]))
	}
	parts := s.observer.follow(s.namespace)
	start := time.Now()
	if err := do(); err != nil {
		return live{}, err
	}
	var out live
	for i, a := range apps {
		at, err := s.observer.await(ctx, switched[i], "endpoints of "+a.name)
		if err != nil {
			return live{}, fmt.Errorf("%w; %s", err, s.observer.unrest(s.namespace))
		}
		out.switched = max(out.switched, at.Sub(start))
		if at, err = s.observer.await(ctx, active[i], "phase Active of "+a.name); err != nil {
			return live{}, err
		}
		out.active = max(out.active, at.Sub(start))
	}
	out.now = s.observer.running(s.key(apps[0]))
	if len(apps) == 1 {
		var err error
		if out.way, err = s.observer.way(ctx, parts, start, switched[0].at); err != nil {
			return live{}, err
		}
	}
	return out, nil
}

// commit writes a version of every app into one repository.
func commit(repo *gitserver.Repo, apps []app, version int) error {
	files := map[string]string{}
	for _, a := range apps {
		own, err := a.files(a.name, strconv.Itoa(version))
		if err != nil {
			return err
		}
		for name, text := range own {
			files[name] = text
		}
	}
	_, err := repo.Commit(files)
	return err
}

// appsNamed makes n apps.
func appsNamed(prefix string, n int, replicas int32) []app {
	out := make([]app, n)
	for i := range out {
		out[i] = app{name: fmt.Sprintf("%s-%03d", prefix, i), replicas: replicas}
	}
	return out
}

func isTrue(conditions []metav1.Condition, kind string) bool {
	for _, c := range conditions {
		if c.Type == kind {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

// tempDir makes a folder for Git repositories, caches and logs.
func tempDir() (string, error) { return os.MkdirTemp("", "stele-bench-") }
