package admission

import (
	"bytes"
	"context"
	"errors"
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
	testkit.WithAPIServer(m, "admission", run)
}

func run(m *testing.M) (int, error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
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
	suite.config.QPS, suite.config.WarningHandler = -1, rest.NoWarnings{}
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
	if err := populate(ctx); err != nil {
		return err
	}
	return eventually(ctx, func() error { return inForce(ctx) })
}

// populate makes, as the operator, what the requests are about.
func populate(ctx context.Context) error {
	operator, err := others()["operator"]()
	if err != nil {
		return err
	}
	all, err := kinds()
	if err != nil {
		return err
	}
	for _, namespace := range []string{enforced, ordinary} {
		for _, k := range all {
			for _, flavour := range []string{versioned, stable, plain} {
				u := k.as(flavour, namespace, flavour)
				err := eventually(ctx, func() error {
					_, err := operator.dyn.Resource(k.gvr).Namespace(namespace).Create(ctx, u, metav1.CreateOptions{})
					return client.IgnoreAlreadyExists(err)
				})
				if err != nil {
					return fmt.Errorf("%s %s: %w", k.name(), flavour, err)
				}
			}
		}
	}
	return errors.Join(populateTracks(ctx, operator), populateSystem(ctx))
}

// populateTracks makes tracks with a release that they run, and in "idle" one that runs none.
func populateTracks(ctx context.Context, operator *identity) error {
	for _, namespace := range []string{enforced, ordinary, "closed", "busy", "idle"} {
		u := track(namespace, "shop")
		u.SetFinalizers([]string{"finalizers.stele.dev/track"})
		made, err := operator.dyn.Resource(tracks).Namespace(namespace).Create(ctx, u, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		rel, err := operator.dyn.Resource(releases).Namespace(namespace).Create(ctx, aRelease(namespace), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if namespace == "idle" {
			continue
		}
		made.Object["status"] = map[string]any{"activeRelease": rel.GetName()}
		if _, err := operator.dyn.Resource(tracks).Namespace(namespace).UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	pod := object(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, "closed", plain)
	pod.Object["spec"] = map[string]any{"containers": []any{map[string]any{"name": "c", "image": "x"}}}
	_, err := operator.dyn.Resource(pods).Namespace("closed").Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// populateSystem makes an archive, an entry that waits for the audit log, the key of that, and a ReplicaSet and a pod with the operator's account, as who makes them.
func populateSystem(ctx context.Context) error {
	make := func(user string, extra map[string][]string, gvr schema.GroupVersionResource, u *unstructured.Unstructured) error {
		i, err := impersonated("", user, []string{"system:masters"}, extra)
		if err != nil {
			return err
		}
		u.SetNamespace(system)
		_, err = i.dyn.Resource(gvr).Namespace(system).Create(ctx, u, metav1.CreateOptions{})
		return err
	}
	all, err := decode([]byte(systemObjects))
	if err != nil {
		return err
	}
	return errors.Join(
		make(operatorUser, map[string][]string{podUID: {"0"}}, secrets, all[0]),
		make(operatorUser, map[string][]string{podUID: {"0"}}, secrets, all[3]),
		make(operatorUser, map[string][]string{podUID: {"0"}}, configMaps, all[4]),
		make(ledgerUser, map[string][]string{podUID: {"0"}}, secrets, all[5]),
		make(kubeSystem+"deployment-controller", nil, schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, all[1]),
		make(kubeSystem+"replicaset-controller", nil, pods, all[2]))
}

const systemObjects = `
apiVersion: v1
kind: Secret
metadata: {name: archive.0}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: stele-0}
spec:
  selector: {matchLabels: {app: x}}
  template: {metadata: {labels: {app: x}}, spec: {serviceAccountName: stele, containers: [{name: c, image: x}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: stele-0}
spec:
  serviceAccountName: stele
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers: [{name: c, image: x, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: actor-0}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: outbox-0}
---
apiVersion: v1
kind: Secret
metadata: {name: stele-ledger-key}
`

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
	// One that could not be asked refuses with another reason than Forbidden.
	if err == nil || !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
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
