package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	kubeSystem   = "system:serviceaccount:kube-system:"
	operatorUser = "system:serviceaccount:stele-system:stele"
	breakUser    = "system:serviceaccount:stele-system:break-glass"
	podUID       = "authentication.kubernetes.io/pod-uid"
)

// identity is somebody who asks.
type identity struct {
	name   string
	config *rest.Config
	dyn    dynamic.Interface
	typed  kubernetes.Interface
	user   string
}

// impersonated returns somebody whom the cluster administrator acts as. Rights are not what is asked for here: everybody but the tenant
// is in system:masters as well, which no policy knows.
func impersonated(name, user string, groups []string, extra map[string][]string) (*identity, error) {
	config := rest.CopyConfig(suite.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated"), Extra: extra}
	return newIdentity(name, user, config)
}

func newIdentity(name, user string, config *rest.Config) (*identity, error) {
	config.QPS = -1
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	typed, err := kubernetes.NewForConfig(config)
	return &identity{name: name, user: user, config: config, dyn: dyn, typed: typed}, err
}

// people and machines besides the controllers of the controller manager.
func others() map[string]func() (*identity, error) {
	masters := []string{"system:masters"}
	as := func(name, user string, groups ...string) func() (*identity, error) {
		return func() (*identity, error) { return impersonated(name, user, append(groups, masters...), nil) }
	}
	return map[string]func() (*identity, error){
		"operator": func() (*identity, error) {
			return impersonated("operator", operatorUser, append([]string{"system:serviceaccounts"}, masters...), map[string][]string{podUID: {"0"}})
		},
		"impersonator": as("impersonator", operatorUser, "system:serviceaccounts", "system:serviceaccounts:stele-system"),
		"masters":      as("masters", "root"),
		"tenant":       func() (*identity, error) { return impersonated("tenant", "tenant", nil, nil) },
		"installer":    as("installer", "stele-installer", "stele:installers"),
		// With a credential, as a token has one.
		"break-glass": func() (*identity, error) {
			return impersonated("break-glass", breakUser, []string{"system:masters", "system:serviceaccounts"},
				map[string][]string{"authentication.kubernetes.io/credential-id": {"JTI=0c0ffee0"}})
		},
		"node": as("node", "system:node:node", "system:nodes"),
		// A user name alone makes no node.
		"node-in-name-only": as("node-in-name-only", "system:node:node"),
		"add-on":            as("add-on", kubeSystem+"default", "system:serviceaccounts", "system:serviceaccounts:kube-system"),
		"scheduler":         as("scheduler", "system:kube-scheduler"),
		// All controllers at once, where they have no accounts of their own.
		"controller-manager":           as("controller-manager", "system:kube-controller-manager"),
		"cloud-controller-manager":     as("cloud-controller-manager", "system:cloud-controller-manager"),
		"aws-load-balancer-controller": as("aws-load-balancer-controller", kubeSystem+"aws-load-balancer-controller", "system:serviceaccounts"),
		"keda":                         as("keda", "system:serviceaccount:keda:keda-operator", "system:serviceaccounts"),
		"apiserver":                    as("apiserver", "system:apiserver"),
	}
}

// bootstrapControllers are the accounts that the API server's own bootstrap roles (system:controller:*) are bound to.
func bootstrapControllers(ctx context.Context) ([]string, error) {
	config, err := kubernetes.NewForConfig(suite.config)
	if err != nil {
		return nil, err
	}
	list, err := config.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/bootstrapping=rbac-defaults"})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, b := range list.Items {
		if !strings.HasPrefix(b.Name, "system:controller:") {
			continue
		}
		for _, s := range b.Subjects {
			if s.Kind != "ServiceAccount" || s.Namespace != "kube-system" {
				return nil, fmt.Errorf("%s is bound to %v, which is no account of kube-system", b.Name, s)
			}
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// everybody returns all identities, by name.
func everybody(t *testing.T) map[string]*identity {
	t.Helper()
	out := map[string]*identity{}
	for name, make := range others() {
		i, err := make()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = i
	}
	accounts, err := bootstrapControllers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range accounts {
		i, err := impersonated(account, kubeSystem+account, []string{"system:serviceaccounts", "system:masters"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		out[account] = i
	}
	out["bound-token"], out["bare-token"] = tokens(t)
	return out
}

func one(t *testing.T, name string) *identity {
	t.Helper()
	i, err := others()[name]()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func controller(t *testing.T, account string) *identity {
	t.Helper()
	i, err := impersonated(account, kubeSystem+account, []string{"system:serviceaccounts", "system:masters"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// tokens returns who has a token of the operator's account that is bound to its pod, as its kubelet gets one, and who has one that is not.
func tokens(t *testing.T) (bound, bare *identity) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "stele-"}, Spec: corev1.PodSpec{ServiceAccountName: "stele", NodeName: "node",
		SecurityContext: &corev1.PodSecurityContext{}, Containers: []corev1.Container{restricted()}}}
	pod.Spec.SecurityContext.RunAsNonRoot = new(bool)
	*pod.Spec.SecurityContext.RunAsNonRoot = true
	pod.Spec.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	pod, err := controller(t, "replicaset-controller").typed.CoreV1().Pods(system).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node := one(t, "node").typed.CoreV1().ServiceAccounts(system)
	with := func(name string, ref *authenticationv1.BoundObjectReference) *identity {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{BoundObjectRef: ref}}
		answer, err := node.CreateToken(t.Context(), "stele", request, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		config := rest.AnonymousClientConfig(suite.config)
		config.BearerToken = answer.Status.Token
		i, err := newIdentity(name, operatorUser, config)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	return with("bound-token", &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}), with("bare-token", nil)
}

func restricted() corev1.Container {
	no := false
	return corev1.Container{Name: "c", Image: "x", SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}}
}
