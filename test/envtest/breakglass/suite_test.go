package breakglass

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlenvtest "sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

const (
	system = "stele-system"
	// onCall and other may ask for tokens; grantor may write grants, and so may both, which is one person too many. Their names are looked for
	// in whatever comes out.
	onCall, other, grantor = "canary-oncall-5c1d", "canary-other-5c1d", "canary-grantor-5c1d"
)

var suite struct {
	config *rest.Config
	scheme *runtime.Scheme
	// api is a cluster administrator: a member of system:masters.
	api client.Client
	// log is what the controllers have logged, at level debug.
	log lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.WriteString(s + "\n")
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMain(m *testing.M) {
	testkit.WithAPIServer(m, "breakglass", run)
}

func run(m *testing.M) (int, error) {
	ctrl.SetLogger(funcr.New(func(prefix, args string) { suite.log.add(prefix + " " + args) }, funcr.Options{Verbosity: 1}))
	gomega.SetDefaultEventuallyTimeout(30 * time.Second)
	gomega.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	env := &ctrlenvtest.Environment{CRDDirectoryPaths: []string{filepath.Join(testkit.Root(), "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	var err error
	if suite.config, err = env.Start(); err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	defer func() { _ = env.Stop() }()
	suite.config.QPS = -1
	suite.scheme = runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(suite.scheme), v1alpha1.AddToScheme(suite.scheme)); err != nil {
		return 1, err
	}
	if suite.api, err = client.New(suite.config, client.Options{Scheme: suite.scheme}); err != nil {
		return 1, err
	}
	if err := prepare(context.Background()); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// prepare installs what config/default holds besides kinds, as an installer, and gives people their roles.
func prepare(ctx context.Context) error {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(testkit.Root(), "config", "default"))
	if err != nil {
		return err
	}
	data, err := objects.AsYaml()
	if err != nil {
		return err
	}
	installer, err := client.New(as("stele-installer", "stele:installers", "system:masters"), client.Options{Scheme: suite.scheme})
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if u.GetKind() == "CustomResourceDefinition" {
			continue
		}
		if err := installer.Create(ctx, u); err != nil {
			return fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
	}
	if err := bind(ctx, installer); err != nil {
		return err
	}
	for range 200 {
		if err = inForce(ctx); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// inForce tells whether the policies of break-glass deny what they must: the API server compiles them one after the other.
func inForce(ctx context.Context) error {
	pod := podOf(system)
	pod.Spec.ServiceAccountName = v1alpha1.BreakGlassAccount
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.BreakGlassName}}
	b.Spec.Grants = []v1alpha1.BreakGlassGrant{grant("system:serviceaccount:stele-system:stele", time.Hour, "shop")}
	operator, err := client.New(as(b.Spec.Grants[0].User, "system:masters"), client.Options{Scheme: suite.scheme})
	if err != nil {
		return err
	}
	_, tokenErr := ask(ctx, suite.config, lasting(time.Hour))
	for policy, err := range map[string]error{
		"stele-break-glass": tokenErr, "stele-break-glass-account": suite.api.Create(ctx, pod, client.DryRunAll),
		"stele-break-glass-grants": operator.Create(ctx, b, client.DryRunAll),
	} {
		if err == nil || !strings.Contains(err.Error(), "'"+policy+"'") {
			return fmt.Errorf("%s is not in force: %w", policy, err)
		}
	}
	return nil
}

// bind gives people the roles of break-glass, as an installation does.
func bind(ctx context.Context, c client.Client) error {
	subject := func(user string) []rbacv1.Subject {
		return []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	}
	var list []client.Object
	for _, user := range []string{grantor, other, onCall} {
		grants := &rbacv1.ClusterRoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "stele-break-glass-grantor"}, Subjects: subject(user)}
		tokens := &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "stele-break-glass-user"}, Subjects: subject(user)}
		grants.Name, tokens.Name, tokens.Namespace = "grants-"+user, "tokens-"+user, system
		list = append(list, grants, tokens)
	}
	for _, o := range list {
		if err := c.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// as is the configuration of somebody else.
func as(user string, groups ...string) *rest.Config {
	cfg := rest.CopyConfig(suite.config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	return cfg
}

// asOperator is the operator in its pod, with the rights of config/rbac.
func asOperator() *rest.Config {
	cfg := as("system:serviceaccount:"+system+":stele", "system:serviceaccounts", "system:serviceaccounts:"+system)
	cfg.Impersonate.Extra = map[string][]string{"authentication.kubernetes.io/pod-uid": {"0c0ffee0"}, "authentication.kubernetes.io/pod-name": {"stele-0"}}
	return cfg
}

func newClient(t *testing.T, cfg *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(cfg, client.Options{Scheme: suite.scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tenant makes a namespace with the policies in force, onboarded as config/namespace does it.
func tenant(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "tenant-", Labels: map[string]string{v1alpha1.EnforcedLabel: v1alpha1.Enforced}}}
	if err := suite.api.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(testkit.Root(), "config", "namespace", "break_glass.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	binding := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &binding.Object); err != nil {
		t.Fatal(err)
	}
	binding.SetNamespace(ns.Name)
	if err := newClient(t, as("stele-installer", "stele:installers", "system:masters")).Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// ask asks for a token as somebody.
func ask(ctx context.Context, cfg *rest.Config, request *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return c.CoreV1().ServiceAccounts(system).CreateToken(ctx, v1alpha1.BreakGlassAccount, request, metav1.CreateOptions{})
}

func lasting(d time.Duration) *authenticationv1.TokenRequest {
	return &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(d / time.Second))}}
}

// grants writes spec.grants as somebody who may, and leaves out what others have written.
func grants(ctx context.Context, c client.Client, list ...v1alpha1.BreakGlassGrant) error {
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.BreakGlassName}}
	err := c.Get(ctx, client.ObjectKeyFromObject(b), b)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	b.Spec.Grants = list
	if err != nil {
		return c.Create(ctx, b)
	}
	return c.Update(ctx, b)
}

func grant(user string, until time.Duration, namespaces ...string) v1alpha1.BreakGlassGrant {
	return v1alpha1.BreakGlassGrant{User: user, Namespaces: namespaces, ReasonCode: "INC-1", Until: metav1.NewTime(time.Now().Add(until).Truncate(time.Second))}
}

// wantDenied fails unless a policy of ours has denied the request, in these words.
func wantDenied(t *testing.T, err error, policy, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "'"+policy+"'") || !strings.Contains(err.Error(), words) {
		t.Errorf("want it denied by %s with %q, got: %v", policy, words, err)
	}
}
