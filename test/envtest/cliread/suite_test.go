package cliread

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlenvtest "sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

var update = flag.Bool("update", false, "write the golden files")

// suite is what all tests share.
var suite struct {
	env *ctrlenvtest.Environment
	api client.WithWatch
	// folder has the plugin, alone in a folder for PATH, and kubeconfigs.
	folder, plugin, admin string
}

// canary is the name of a person, in places that the API server keeps and nobody may show.
const canary = "canary-alice-7f3a"

func TestMain(m *testing.M) { testkit.WithAPIServer(m, "cliread", run) }

func run(m *testing.M) (int, error) {
	ctrl.SetLogger(logr.Discard())
	suite.env = &ctrlenvtest.Environment{CRDDirectoryPaths: []string{filepath.Join(testkit.Root(), "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	config, err := suite.env.Start()
	if err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	defer func() { _ = suite.env.Stop() }()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return 1, err
	}
	if suite.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme, FieldOwner: canary}); err != nil {
		return 1, err
	}
	if suite.folder, err = os.MkdirTemp("", "stele-cliread-"); err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(suite.folder) }()
	suite.plugin = filepath.Join(suite.folder, "bin", "kubectl-stele")
	build := exec.Command("go", "build", "-o", suite.plugin, "./cmd/kubectl-stele")
	build.Dir = testkit.Root()
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the plugin: %w: %s", err, out)
	}
	if suite.admin, err = kubeconfig("admin", "system:masters"); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// kubeconfig of a user.
func kubeconfig(user string, groups ...string) (string, error) {
	added, err := suite.env.AddUser(ctrlenvtest.User{Name: user, Groups: groups}, nil)
	if err != nil {
		return "", err
	}
	data, err := added.KubeConfig()
	if err != nil {
		return "", err
	}
	file := filepath.Join(suite.folder, user+".kubeconfig")
	return file, os.WriteFile(file, data, 0o600)
}

// result is what a process has said.
type result struct {
	stdout, stderr string
	code           int
}

// stele runs the plugin as an administrator.
func stele(t *testing.T, args ...string) result {
	t.Helper()
	return steleAs(t, suite.admin, args...)
}

func steleAs(t *testing.T, kubeconfig string, args ...string) result {
	t.Helper()
	cmd := command(t.Context(), kubeconfig, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	for where, text := range map[string]string{"stdout": r.stdout, "stderr": r.stderr} {
		if strings.Contains(text, canary) {
			t.Errorf("%v: the name of a person in %s:\n%s", args, where, text)
		}
		if i := strings.IndexFunc(text, dangerous); i >= 0 {
			t.Errorf("%v: %q in %s:\n%q", args, text[i], where, text)
		}
	}
	return r
}

// dangerous to a terminal.
func dangerous(r rune) bool {
	return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

func command(ctx context.Context, kubeconfig string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, suite.plugin, args...) //nolint:gosec // the plugin under test
	cmd.Env = []string{"HOME=" + suite.folder, "PATH=" + filepath.Dir(suite.plugin) + ":/usr/bin:/bin", "KUBECONFIG=" + kubeconfig}
	return cmd
}

// exactly is the output of a command that is done.
func exactly(t *testing.T, args ...string) string {
	t.Helper()
	r := stele(t, args...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("%v: exit code %d, %s", args, r.code, r.stderr)
	}
	return r.stdout
}

var (
	// Times keep their width.
	timeForm = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3,6})?`)
	uidForm  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	versions = regexp.MustCompile(`("?resourceVersion"?: )"\d+"`)
	// sealed are digests of specs with times in them.
	sealed = regexp.MustCompile(`(Own digest:  sha256:)[0-9a-f]{64}`)
	// seconds are ages of what was made a moment ago; they keep their width too.
	seconds = regexp.MustCompile(`(?m) (\d|\d\d)s( |$)`)
)

// golden compares with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = timeForm.ReplaceAllString(got, "YYYY-MM-DDThh:mm:ss")
	got = uidForm.ReplaceAllString(got, "<uid>")
	got = sealed.ReplaceAllString(got, "$1<digest>")
	got = versions.ReplaceAllString(got, `$1"<version>"`)
	got = seconds.ReplaceAllStringFunc(got, func(s string) string { return " Ns" + strings.Repeat(" ", len(s)-3) })
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// newNamespace with a name of its own.
func newNamespace(t *testing.T, name string) string {
	t.Helper()
	if err := suite.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
	return name
}

// ago is a time that is told as the same age for a while.
func ago(d time.Duration) *metav1.MicroTime {
	t := metav1.NewMicroTime(time.Now().Add(-d))
	return &t
}
