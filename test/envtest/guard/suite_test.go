package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	ctrlenvtest "sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/controllers/guard"
	"github.com/stele-dev/stele/controllers/releasetrack"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/test/testkit"
)

const (
	operatorNamespace = "stele-system"
	// patience is what a test waits at most; the guard has twice that time.
	patience = 30 * time.Second
	// interval between canaries, which is 30 s in earnest.
	interval = 300 * time.Millisecond
)

// suite is what all tests share.
var suite struct {
	config *rest.Config
	scheme *runtime.Scheme
	// api reads and writes live, as cluster admin and installer.
	api client.Client
	// installed are the policies, bindings and CustomResourceDefinitions as config installs them.
	installed []*unstructured.Unstructured
}

func TestMain(m *testing.M) {
	testkit.WithAPIServer(m, "guard", run)
}

func run(m *testing.M) (int, error) {
	ctrl.SetLogger(logr.Discard())
	env := &ctrlenvtest.Environment{}
	config, err := env.Start()
	if err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	defer func() { _ = env.Stop() }()
	config.QPS, config.Burst = -1, 0
	suite.config, suite.scheme = config, runtime.NewScheme()
	err = errors.Join(clientgoscheme.AddToScheme(suite.scheme), apiextensionsv1.AddToScheme(suite.scheme), v1alpha1.AddToScheme(suite.scheme))
	if err != nil {
		return 1, err
	}
	// Some of what the tests do is left to installers.
	installer := rest.CopyConfig(config)
	installer.Impersonate = rest.ImpersonationConfig{UserName: "installer", Groups: []string{"system:masters", "stele:installers"}}
	if suite.api, err = client.New(installer, client.Options{Scheme: suite.scheme}); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := install(ctx); err != nil {
		return 1, fmt.Errorf("install: %w", err)
	}
	return m.Run(), nil
}

// install applies config/default as a user does.
func install(ctx context.Context) error {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(testkit.Root(), "config", "default"))
	if err != nil {
		return err
	}
	data, err := objects.AsYaml()
	if err != nil {
		return err
	}
	for _, doc := range bytes.Split(data, []byte("\n---\n")) {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			return err
		}
		switch u.GetKind() {
		case "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "CustomResourceDefinition":
			suite.installed = append(suite.installed, u)
		case "Deployment":
			continue // the operator runs in this process
		}
		// An object of a kind that was defined a moment ago is refused at first.
		if err := testkit.Eventually(ctx, patience, func(ctx context.Context) error { return apply(ctx, u) }); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	if len(suite.installed) < 5 {
		return fmt.Errorf("config/default holds only %d policies, bindings and CustomResourceDefinitions", len(suite.installed))
	}
	return nil
}

// apply makes an object what it is in config, whatever has become of it.
func apply(ctx context.Context, u *unstructured.Unstructured) error {
	return suite.api.Apply(ctx, client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.FieldOwner("installer"), client.ForceOwnership)
}

// shiftedClock is a clock that a test moves on.
type shiftedClock struct {
	kube.SteadyClock
	mu    sync.Mutex
	ahead time.Duration
}

func (c *shiftedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.SteadyClock.Now().Add(c.ahead)
}

func (c *shiftedClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// operator is one life of the operator: guard and track controller as main makes them.
type operator struct {
	guard  *guard.Guard
	clock  *shiftedClock
	cancel context.CancelFunc
	done   chan error
}

// startOperator starts an operator that ends with the test. It has the rights of its service account, seen as its pod, and no others.
func startOperator(t *testing.T) *operator {
	t.Helper()
	cfg := rest.CopyConfig(suite.config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + operatorNamespace + ":stele",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace, "system:authenticated"},
		Extra: map[string][]string{"authentication.kubernetes.io/pod-name": {"stele-0"}, "authentication.kubernetes.io/pod-uid": {"pod-uid"},
			"authentication.kubernetes.io/node-name": {"node"}, "authentication.kubernetes.io/node-uid": {"node-uid"}}}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: suite.scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Cache: releasetrack.CacheOptions(),
		GracefulShutdownTimeout: ptr.To(5 * time.Second), Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	live, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	git, err := gitsource.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &operator{cancel: cancel, done: make(chan error, 1), clock: &shiftedClock{SteadyClock: *kube.NewSteadyClock()}}
	if o.guard, err = guard.Setup(mgr, os.DirFS(testkit.Root()), operatorNamespace); err != nil {
		t.Fatal(err)
	}
	o.guard.Interval, o.guard.Clock = interval, o.clock
	tracks := releasetrack.New(mgr, live, git, operatorNamespace, 2)
	tracks.Protection = o.guard
	if err := tracks.SetupWithManager(ctx, mgr, 4); err != nil {
		t.Fatal(err)
	}
	go func() { o.done <- mgr.Start(ctx) }()
	t.Cleanup(func() { o.stop(t) })
	return o
}

// stop ends the operator as SIGTERM does. It can be called again.
func (o *operator) stop(t *testing.T) {
	t.Helper()
	o.cancel()
	select {
	case err := <-o.done:
		if err != nil {
			t.Errorf("the operator ended with: %v", err)
		}
		o.done <- nil
	case <-time.After(20 * time.Second):
		t.Error("the operator did not end within 20s")
	}
}

// newTrack makes a namespace, enforced or not, and a track in it that looks at no repository.
func newTrack(t *testing.T, namespace string, labels map[string]string) client.ObjectKey {
	t.Helper()
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: labels}})
	return addTrack(t, namespace, "shop")
}

func addTrack(t *testing.T, namespace, name string) client.ObjectKey {
	t.Helper()
	track := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"source":             map[string]any{"url": "https://git.example/shop.git", "path": "./deploy", "ref": map[string]any{"branch": "main"}},
		"serviceAccountName": "deployer", "suspend": true}}}
	track.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ReleaseTrack"))
	track.SetNamespace(namespace)
	track.SetName(name)
	create(t, track)
	return client.ObjectKeyFromObject(track)
}

func create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := suite.api.Create(t.Context(), obj); err != nil {
		t.Fatalf("create %T %s: %v", obj, obj.GetName(), err)
	}
}

func eventually(t *testing.T, check func(ctx context.Context) error) {
	t.Helper()
	if err := testkit.Eventually(t.Context(), patience, check); err != nil {
		t.Fatal(err)
	}
}

// protected is the condition of a track.
func protected(ctx context.Context, key client.ObjectKey) (*metav1.Condition, *v1alpha1.ReleaseTrack, error) {
	track := &v1alpha1.ReleaseTrack{}
	if err := suite.api.Get(ctx, key, track); err != nil {
		return nil, nil, err
	}
	c := apimeta.FindStatusCondition(track.Status.Conditions, v1alpha1.ProtectedCondition)
	if c == nil {
		return nil, nil, fmt.Errorf("track %s has no condition %s", key, v1alpha1.ProtectedCondition)
	}
	return c, track, nil
}
