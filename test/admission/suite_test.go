package admission

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	ctrlenvtest "sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/stele-dev/stele/test/testkit"
)

const (
	// system is the operator's namespace; enforced and ordinary are two tenants', the first with the label.
	system, enforced, ordinary = "stele-system", "enforced", "ordinary"
	patience                   = 20 * time.Second
)

var suite struct {
	config     *rest.Config
	kubeconfig string
	// admin is a cluster administrator: a member of system:masters.
	admin client.Client
	// installed is what config/default holds.
	installed []*unstructured.Unstructured
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "admission:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return 1, errors.New("KUBEBUILDER_ASSETS is not set, so there is no API server to test against. Run `make test-env`, " +
			"or set it to the folder that `go run -C hack/controlplane . assets` prints")
	}
	ctrl.SetLogger(logr.Discard())
	folder, err := os.MkdirTemp("", "stele-admission-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	env := &ctrlenvtest.Environment{}
	if suite.config, err = env.Start(); err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	defer func() { _ = env.Stop() }()
	suite.config.QPS = -1
	admin, err := env.AddUser(ctrlenvtest.User{Name: "root", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return 1, err
	}
	data, err := admin.KubeConfig()
	if err != nil {
		return 1, err
	}
	suite.kubeconfig = filepath.Join(folder, "kubeconfig")
	if err := os.WriteFile(suite.kubeconfig, data, 0o600); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := prepare(ctx, folder); err != nil {
		return 1, err
	}
	stop, err := startPolicyStatus(assets, folder)
	if err != nil {
		return 1, err
	}
	defer stop()
	return m.Run(), nil
}

// prepare installs config/default as an installer does, in one apply; then the kinds of others, and the two tenants.
func prepare(ctx context.Context, folder string) error {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(testkit.Root(), "config", "default"))
	if err != nil {
		return err
	}
	data, err := objects.AsYaml()
	if err != nil {
		return err
	}
	if suite.installed, err = decode(data); err != nil {
		return err
	}
	file := filepath.Join(folder, "install.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	installer := []string{"--as=stele-installer", "--as-group=stele:installers", "--as-group=system:masters"}
	// A BreakGlass is of a kind that the same apply defines: the second time it is known.
	if _, err := kubectl(ctx, "", append(installer, "apply", "--server-side", "-f", file)...); err != nil {
		if _, again := kubectl(ctx, "", append(installer, "apply", "--server-side", "-f", file)...); again != nil {
			return errors.Join(err, again)
		}
	}
	data, err = os.ReadFile(filepath.Join("testdata", "world.yaml"))
	if err != nil {
		return err
	}
	world, err := decode(data)
	if err != nil {
		return err
	}
	if suite.admin, err = newClient(suite.config); err != nil {
		return err
	}
	for _, u := range append(foreignKinds(), world...) {
		if err := eventually(ctx, func() error { return client.IgnoreAlreadyExists(suite.admin.Create(ctx, u.DeepCopy())) }); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	return eventually(ctx, func() error { return inForce(ctx) })
}

// newClient works on objects without types, and looks for kinds that it does not know.
func newClient(config *rest.Config) (client.Client, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{HTTPClient: httpClient, Mapper: mapper, Scheme: runtime.NewScheme()})
}

// inForce reports an error until every policy has denied something: each has a request that it alone denies.
func inForce(ctx context.Context) error {
	for _, c := range canaries() {
		err := c.send(ctx)
		if !strings.Contains(fmt.Sprint(err), "'"+c.policy+"'") {
			return fmt.Errorf("%s is not in force yet: %w", c.policy, err)
		}
	}
	return nil
}

// eventually asks until check reports no error.
func eventually(ctx context.Context, check func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// startPolicyStatus starts the one controller of the controller manager that checks the types of policies.
func startPolicyStatus(assets, folder string) (func(), error) {
	log, err := os.Create(filepath.Join(folder, "controller-manager.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(assets, "kube-controller-manager"), "--kubeconfig="+suite.kubeconfig, "--leader-elect=false",
		"--controllers=validatingadmissionpolicy-status-controller", "--secure-port=0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	}, nil
}

func kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append([]string{"--kubeconfig", suite.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out.String(), nil
}

func decode(data []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if len(u.Object) > 0 {
			out = append(out, u)
		}
	}
}

// deniedBy returns the policy of ours that has denied a request, or nothing.
func deniedBy(err error) string {
	if err == nil || !apierrors.IsForbidden(err) {
		return ""
	}
	_, rest, ok := strings.Cut(err.Error(), "ValidatingAdmissionPolicy '")
	name, _, _ := strings.Cut(rest, "'")
	if !ok || !strings.HasPrefix(name, "stele-") {
		return ""
	}
	return name
}

func object(gvk schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

var everyDryRun = metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}
