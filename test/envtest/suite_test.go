package envtest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlenvtest "sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// operatorNamespace is where the operators under test keep archives.
const operatorNamespace = "stele-system"

// operatorUser is who they are to the API server.
const operatorUser = "system:serviceaccount:" + operatorNamespace + ":stele"

// suite is what all tests share: one API server, one Git server, one player.
var suite struct {
	config *rest.Config
	scheme *kruntime.Scheme
	// api reads and writes live, as cluster admin.
	api client.Client
	git *gitserver.Server
}

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for others most of the time.
	if f := flag.Lookup("test.parallel"); f != nil && !set("test.parallel") {
		_ = f.Value.Set("12")
	}
	testkit.WithAPIServer(m, "envtest", run)
}

func set(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func run(m *testing.M) (int, error) {
	ctrl.SetLogger(logr.Discard())
	env := &ctrlenvtest.Environment{CRDDirectoryPaths: []string{filepath.Join(testkit.Root(), "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	// Every namespace has Services, and the default is too small for all of them.
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	config, err := env.Start()
	if err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	defer func() { _ = env.Stop() }()
	// Watches end before the API server, which would wait for them.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	config.QPS, config.Burst = -1, 0
	suite.config, suite.scheme = config, kruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(suite.scheme), v1alpha1.AddToScheme(suite.scheme)); err != nil {
		return 1, err
	}
	if suite.api, err = client.New(config, client.Options{Scheme: suite.scheme}); err != nil {
		return 1, err
	}
	if err := suite.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}); err != nil {
		return 1, err
	}
	if err := installRights(ctx); err != nil {
		return 1, fmt.Errorf("install config/rbac: %w", err)
	}
	folder, err := os.MkdirTemp("", "stele-envtest-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if suite.git, err = gitserver.New(folder); err != nil {
		return 1, fmt.Errorf("start the Git server: %w", err)
	}
	defer suite.git.Close()
	done, err := startPlayer(ctx)
	if err != nil {
		return 1, fmt.Errorf("start the player: %w", err)
	}
	defer func() {
		cancel()
		<-done
	}()
	return m.Run(), nil
}

// installRights applies the Roles that users install, so that the operators under test have these rights and no others.
func installRights(ctx context.Context) error {
	for _, file := range []string{"role.yaml", "role_binding.yaml", "archive_role.yaml", "outbox_role.yaml"} {
		objects, err := decodeFile("config", "rbac", file)
		if err != nil {
			return err
		}
		for _, u := range objects {
			if !strings.HasPrefix(u.GetKind(), "Cluster") {
				u.SetNamespace(operatorNamespace)
			}
			if err := suite.api.Create(ctx, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeFile reads the objects of a file of this repository.
func decodeFile(path ...string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(filepath.Join(append([]string{testkit.Root()}, path...)...))
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", path[len(path)-1], err)
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
}

var namespaces atomic.Int32

// newNamespace makes an onboarded namespace with the service account "deployer", which may do everything in it.
func newNamespace(t *testing.T) string {
	t.Helper()
	name := newForeignNamespace(t)
	onboard(t, name)
	return name
}

// onboard gives the operators under test the rights of config/namespace, and waits until they count.
func onboard(t *testing.T, namespace string) {
	t.Helper()
	bindings, err := decodeFile("config", "namespace", "role_binding.yaml")
	if err != nil || len(bindings) == 0 {
		t.Fatalf("config/namespace: %d objects, %v", len(bindings), err)
	}
	for _, b := range bindings {
		b.SetNamespace(namespace)
		create(t, b)
	}
	until(t, patience, func(ctx context.Context) error {
		allowed, err := operatorMay(ctx, namespace)
		if err == nil && !allowed {
			err = errors.New("the operator has no rights in the namespace yet")
		}
		return err
	})
}

// operatorMay asks whether the operators under test may make releases in a namespace.
func operatorMay(ctx context.Context, namespace string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: operatorUser,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Group: v1alpha1.GroupVersion.Group, Resource: "immutablereleases"}}}
	err := suite.api.Create(ctx, review)
	return review.Status.Allowed, err
}

// newForeignNamespace is one that is not onboarded.
func newForeignNamespace(t *testing.T) string {
	t.Helper()
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, t.Name()), "-")
	name = fmt.Sprintf("%s-%d", strings.Trim(name[max(0, len(name)-40):], "-"), namespaces.Add(1))
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "deployer"}})
	create(t, allow(name, "deployer", "everything", "*", "*", "*")...)
	return name
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := suite.api.Create(t.Context(), o); err != nil {
			t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
	}
}

// until asks until check reports no error; the test fails with the last error when the time is over.
func until(t *testing.T, timeout time.Duration, check func(ctx context.Context) error) {
	t.Helper()
	if err := await(t.Context(), timeout, check); err != nil {
		t.Fatal(err)
	}
}

func await(ctx context.Context, timeout time.Duration, check func(ctx context.Context) error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("not within %s: %w", timeout, err)
		}
		time.Sleep(25 * time.Millisecond)
	}
}

func key(namespace, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: namespace, Name: name}
}
