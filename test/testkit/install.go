package testkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const (
	// OperatorNamespace is where config/default installs the operator, and where it keeps archives and leases.
	OperatorNamespace = "stele-system"
	// OperatorAccount is the operator's service account, and the name of its Deployment.
	OperatorAccount = "stele"
	// tokenLife is longer than any test run, so that no token has to be renewed.
	tokenLife = 4 * time.Hour
	patience  = time.Minute
)

// OperatorUser is who the operator is to the API server.
const OperatorUser = "system:serviceaccount:" + OperatorNamespace + ":" + OperatorAccount

// AsInstaller are the arguments that let kubectl install Stele over one that is there, which no administrator does by accident.
var AsInstaller = []string{"--as=" + Administrator, "--as-group=system:masters", "--as-group=stele:installers"}

// install installs what users install, config/default, and waits until the operator's pods run (on fake nodes: the operator
// itself is a process, see StartOperator).
func (c *Cluster) install(ctx context.Context) error {
	args := append([]string{"apply", "--server-side", "-k", filepath.Join(Root(), "config", "default")}, AsInstaller...)
	if _, err := c.Kubectl(ctx, args...); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=30s", "crd/releasetracks.stele.dev", "crd/immutablereleases.stele.dev",
		"crd/breakglasses.stele.dev", "crd/auditledgers.stele.dev"); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "-n", OperatorNamespace, "wait", "--for=condition=Available", "--timeout=60s", "deployment/"+OperatorAccount); err != nil {
		return err
	}
	_, err := c.Kubectl(ctx, "-n", OperatorNamespace, "rollout", "status", "--timeout=60s", "statefulset/"+v1alpha1.LedgerAccount)
	return err
}

// Node is the identity of a node, which kubelets have.
func Node(name string) rest.ImpersonationConfig {
	return rest.ImpersonationConfig{UserName: "system:node:" + name, Groups: []string{"system:nodes"}}
}

// As is a client of somebody else than the administrator.
func (c *Cluster) As(who rest.ImpersonationConfig) (client.Client, error) {
	config := rest.CopyConfig(c.Config)
	config.Impersonate = who
	return client.New(config, client.Options{Scheme: c.Client.Scheme(), Mapper: c.Client.RESTMapper()})
}

// OperatorConfig leads to the API server as the operator: with a token that is bound to a pod of its Deployment, requested by the
// pod's node, as a kubelet does. Nobody else gets one.
func (c *Cluster) OperatorConfig(ctx context.Context) (*rest.Config, error) {
	return c.accountConfig(ctx, OperatorAccount, toPod)
}

// LedgerConfig leads to the API server as the writer of the audit log, as OperatorConfig does as the operator.
func (c *Cluster) LedgerConfig(ctx context.Context) (*rest.Config, error) {
	return c.accountConfig(ctx, v1alpha1.LedgerAccount, toPod)
}

// LedgerKubeconfig writes a kubeconfig for the writer of the audit log into a file and returns its path; see LedgerConfig.
func (c *Cluster) LedgerKubeconfig(ctx context.Context, path string) (string, error) {
	config, err := c.LedgerConfig(ctx)
	if err != nil {
		return "", err
	}
	return path, WriteKubeconfig(config, path)
}

func toPod(pod *corev1.Pod) *authenticationv1.BoundObjectReference {
	return &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
}

// BareOperatorConfig is OperatorConfig with a token that is bound to nothing, as a node may give away: it is the operator's account, and
// not the operator.
func (c *Cluster) BareOperatorConfig(ctx context.Context) (*rest.Config, error) {
	return c.accountConfig(ctx, OperatorAccount, func(*corev1.Pod) *authenticationv1.BoundObjectReference { return nil })
}

func (c *Cluster) accountConfig(ctx context.Context, name string, bound func(*corev1.Pod) *authenticationv1.BoundObjectReference) (*rest.Config, error) {
	pod, err := c.podOf(ctx, name)
	if err != nil {
		return nil, err
	}
	node, err := c.As(Node(pod.Spec.NodeName))
	if err != nil {
		return nil, err
	}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: ptr.To(int64(tokenLife.Seconds())), BoundObjectRef: bound(pod),
	}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: OperatorNamespace, Name: name}}
	if err := node.SubResource("token").Create(ctx, account, token); err != nil {
		return nil, fmt.Errorf("request a token of account %s for pod %s: %w", name, pod.Name, err)
	}
	// A token as the only credential.
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = token.Status.Token
	return config, nil
}

// podOf is a running pod with an account of the operator's namespace.
func (c *Cluster) podOf(ctx context.Context, account string) (*corev1.Pod, error) {
	var pods corev1.PodList
	err := Eventually(ctx, patience, func(ctx context.Context) error {
		if err := c.Client.List(ctx, &pods, client.InNamespace(OperatorNamespace)); err != nil {
			return err
		}
		kept := pods.Items[:0]
		for _, p := range pods.Items {
			if p.Spec.ServiceAccountName == account && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				kept = append(kept, p)
			}
		}
		if pods.Items = kept; len(kept) == 0 {
			return fmt.Errorf("no pod of account %s runs in %s", account, OperatorNamespace)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &pods.Items[0], nil
}

// OperatorKubeconfig writes a kubeconfig for the operator into a file and returns its path; see OperatorConfig.
func (c *Cluster) OperatorKubeconfig(ctx context.Context, path string) (string, error) {
	config, err := c.OperatorConfig(ctx)
	if err != nil {
		return "", err
	}
	return path, WriteKubeconfig(config, path)
}

// WriteKubeconfig writes a kubeconfig with a token as the only credential.
func WriteKubeconfig(config *rest.Config, path string) error {
	const name = "stele"
	out := clientcmdapi.NewConfig()
	out.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: config.BearerToken}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	out.CurrentContext = name
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return clientcmd.WriteToFile(*out, path)
}

// Onboard makes a namespace in which Stele may run releases and protects them, as "make onboard" does, and waits until its rights and
// the admission policies are in force there. All namespaces of tests, the benchmark and the demo are made here.
func (c *Cluster) Onboard(ctx context.Context, namespace string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(Root(), "hack", "namespace.sh"), "onboard", namespace)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "KUBECTL="+filepath.Join(c.Dir, "bin", "kubectl"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("onboard namespace %s: %w: %s", namespace, err, out)
	}
	if err := Eventually(ctx, patience, func(ctx context.Context) error {
		return errors.Join(c.entitled(ctx, namespace), c.protected(ctx, namespace))
	}); err != nil {
		return fmt.Errorf("namespace %s is onboarded, but: %w", namespace, err)
	}
	return nil
}

// entitled is done when the operator has its rights in a namespace.
func (c *Cluster) entitled(ctx context.Context, namespace string) error {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: OperatorUser,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Group: v1alpha1.GroupVersion.Group, Resource: "immutablereleases"}}}
	if err := c.Client.Create(ctx, review); err != nil || review.Status.Allowed {
		return err
	}
	return errors.New("the operator has no rights in it")
}

// protected is done when the API server refuses what no administrator may do: it learns of policies a second or two later.
func (c *Cluster) protected(ctx context.Context, namespace string) error {
	forged := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "canary", Labels: map[string]string{v1alpha1.TrackLabel: "canary"}}}
	switch err := c.Client.Create(ctx, forged, client.DryRunAll); {
	case err == nil:
		return errors.New("an administrator may make objects with Stele's labels")
	case !strings.Contains(err.Error(), "ValidatingAdmissionPolicy"):
		return err
	}
	return nil
}

// PatchTrack changes a track as its users do: with a merge patch that says who asks for it.
func (c *Cluster) PatchTrack(ctx context.Context, namespace, name, patch string) error {
	track := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return c.Client.Patch(ctx, track, client.RawPatch(types.MergePatchType, []byte(Signed(patch))))
}

// Signed adds to a merge patch of a track who asks for it: the administrator.
func Signed(patch string) string {
	object := map[string]any{}
	if err := json.Unmarshal([]byte(patch), &object); err != nil {
		panic(fmt.Sprintf("%v: %s", err, patch))
	}
	meta, _ := object["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	if annotations == nil {
		annotations = map[string]any{}
	}
	annotations[v1alpha1.ActorAnnotation] = Administrator
	meta["annotations"], object["metadata"] = annotations, meta
	out, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return string(out)
}
