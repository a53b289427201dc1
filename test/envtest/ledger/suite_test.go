// Package ledger tests the writer of the log against a real API server, with the rights of config/ledger and no others.
package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlenvtest "sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/writer"
	"github.com/stele-dev/stele/test/testkit"
)

const (
	namespace = "stele-system"
	user      = "system:serviceaccount:" + namespace + ":" + v1alpha1.LedgerAccount
	patience  = 30 * time.Second
)

var suite struct {
	config *rest.Config
	scheme *kruntime.Scheme
	api    client.Client // as cluster admin
	files  string        // kubeconfig of the writer, for processes of their own
}

func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	if path := os.Getenv("LEDGER_TEST_PATH"); path != "" {
		os.Exit(live(path))
	}
	testkit.WithAPIServer(m, "envtest/ledger", run)
}

func run(m *testing.M) (int, error) {
	ctrl.SetLogger(logr.Discard())
	env := &ctrlenvtest.Environment{CRDDirectoryPaths: []string{filepath.Join(testkit.Root(), "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	config, err := env.Start()
	if err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	defer func() { _ = env.Stop() }()
	config.QPS, config.Burst = -1, 0
	suite.config, suite.scheme = config, kruntime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(suite.scheme), v1alpha1.AddToScheme(suite.scheme)); err != nil {
		return 1, err
	}
	if suite.api, err = client.New(config, client.Options{Scheme: suite.scheme}); err != nil {
		return 1, err
	}
	ctx := context.Background()
	if err := suite.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return 1, err
	}
	if err := installRights(ctx); err != nil {
		return 1, fmt.Errorf("install config/ledger: %w", err)
	}
	folder, err := os.MkdirTemp("", "stele-ledger-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if suite.files, err = writeKubeconfig(env, filepath.Join(folder, "kubeconfig")); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// writeKubeconfig makes one for processes of their own: those that are killed.
func writeKubeconfig(env *ctrlenvtest.Environment, path string) (string, error) {
	admin, err := env.AddUser(ctrlenvtest.User{Name: user, Groups: []string{"system:serviceaccounts", "system:authenticated"}}, nil)
	if err != nil {
		return "", err
	}
	data, err := admin.KubeConfig()
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, data, 0o600)
}

func installRights(ctx context.Context) error {
	data, err := os.ReadFile(filepath.Join(testkit.Root(), "config", "ledger", "role.yaml"))
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if !strings.HasPrefix(u.GetKind(), "Cluster") {
			u.SetNamespace(namespace)
		}
		if err := suite.api.Create(ctx, u); err != nil {
			return err
		}
	}
}

// world is a cluster without a log. Tests of this package run one after another.
func world(t *testing.T) {
	t.Helper()
	clear := func(ctx context.Context) {
		for _, o := range []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}} {
			if err := suite.api.DeleteAllOf(ctx, o, client.InNamespace(namespace)); err != nil {
				t.Error(err)
			}
		}
		if err := client.IgnoreNotFound(suite.api.Delete(ctx, &v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.AuditLedgerName}})); err != nil {
			t.Error(err)
		}
	}
	clear(t.Context())
	if err := suite.api.Create(t.Context(), &v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.AuditLedgerName}}); err != nil {
		t.Fatal(err)
	}
}

// options change one life of a writer.
type options struct {
	anchor    writer.NewAnchor
	former    string
	key       string
	transport func(http.RoundTripper) http.RoundTripper
}

// life is one life of a writer, as main makes it.
type life struct {
	cancel context.CancelFunc
	done   chan error
	writes atomic.Int64
}

func (l *life) count(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events") {
			l.writes.Add(1)
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func manager(config *rest.Config, scheme *kruntime.Scheme) (ctrl.Manager, error) {
	return ctrl.NewManager(config, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		GracefulShutdownTimeout: ptr.To(10 * time.Second)})
}

func start(t *testing.T, dir string, o options) *life {
	t.Helper()
	l := &life{done: make(chan error, 1)}
	config := rest.CopyConfig(suite.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}}
	config.Wrap(l.count)
	if o.transport != nil {
		config.Wrap(o.transport)
	}
	mgr, err := manager(config, suite.scheme)
	if err != nil {
		t.Fatal(err)
	}
	if o.key == "" {
		o.key = v1alpha1.LedgerKeySecret
	}
	if _, err := writer.Setup(mgr, writer.Config{Path: dir, Namespace: namespace, KeySecret: o.key, FormerKeySecret: o.former, NewAnchor: o.anchor}, ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() { l.done <- mgr.Start(ctx) }()
	t.Cleanup(func() { l.stop(t) })
	return l
}

func (l *life) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	select {
	case err := <-l.done:
		if err != nil {
			t.Errorf("the writer ended with: %v", err)
		}
		l.done <- nil
	case <-time.After(patience):
		t.Error("the writer did not end")
	}
}

// put writes an entry as the operator does.
func put(t *testing.T, key string) string {
	t.Helper()
	data, err := entry.Encode(entry.Entry{Key: key, Kind: entry.ReleaseCreated, Time: entry.Time(time.Unix(0, 0)), Object: entry.Object{Kind: "ImmutableRelease", Name: "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	return putRaw(t, entry.OutboxName(key), map[string]string{v1alpha1.OutboxKey: string(data)})
}

func putRaw(t *testing.T, name string, data map[string]string) string {
	t.Helper()
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry}},
		Immutable: ptr.To(true), Data: data}
	if err := suite.api.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return name
}

// outbox names what waits.
func outbox(ctx context.Context) ([]string, error) {
	var list corev1.ConfigMapList
	err := suite.api.List(ctx, &list, client.InNamespace(namespace), client.HasLabels{v1alpha1.OutboxLabel})
	var out []string
	for _, c := range list.Items {
		out = append(out, c.Name)
	}
	return out, err
}

func ledger(ctx context.Context) (*v1alpha1.AuditLedger, error) {
	l := &v1alpha1.AuditLedger{}
	return l, suite.api.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, l)
}

// until waits for a state of the AuditLedger.
func until(t *testing.T, check func(*v1alpha1.AuditLedger) error) *v1alpha1.AuditLedger {
	t.Helper()
	var l *v1alpha1.AuditLedger
	err := testkit.Eventually(t.Context(), patience, func(ctx context.Context) (err error) {
		if l, err = ledger(ctx); err != nil {
			return err
		}
		if err := check(l); err != nil {
			text, _ := json.Marshal(l.Status)
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// settled: so many entries, none waits, all is well.
func settled(size int64) func(*v1alpha1.AuditLedger) error {
	return func(l *v1alpha1.AuditLedger) error {
		if l.Status.Size != size || l.Status.Backlog != 0 || !apimeta.IsStatusConditionTrue(l.Status.Conditions, v1alpha1.ReadyCondition) {
			return fmt.Errorf("not settled at %d", size)
		}
		return nil
	}
}

// stalled with this reason.
func stalled(reason string) func(*v1alpha1.AuditLedger) error {
	return func(l *v1alpha1.AuditLedger) error {
		c := apimeta.FindStatusCondition(l.Status.Conditions, v1alpha1.StalledCondition)
		r := apimeta.FindStatusCondition(l.Status.Conditions, v1alpha1.ReadyCondition)
		if c == nil || c.Status != metav1.ConditionTrue || c.Reason != reason || r == nil || r.Status != metav1.ConditionFalse || r.Reason != reason {
			return errors.New("not stalled with " + reason)
		}
		return nil
	}
}

// waiting: Ready is False with this reason, and it is tried again.
func waiting(reason string, backlog int32) func(*v1alpha1.AuditLedger) error {
	return func(l *v1alpha1.AuditLedger) error {
		r := apimeta.FindStatusCondition(l.Status.Conditions, v1alpha1.ReadyCondition)
		if r == nil || r.Status != metav1.ConditionFalse || r.Reason != reason || l.Status.Backlog != backlog ||
			!apimeta.IsStatusConditionTrue(l.Status.Conditions, v1alpha1.ReconcilingCondition) || apimeta.FindStatusCondition(l.Status.Conditions, v1alpha1.StalledCondition) != nil {
			return errors.New("not waiting with " + reason)
		}
		return nil
	}
}
