package cliread

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrlenvtest "sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Every error says what to do next, and the exit code what kind of error it is.
func TestErrors(t *testing.T) {
	ns := newNamespace(t, "errors")
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	makeRelease(t, ns, "shop", 1, active)
	makeTrack(t, ns, "idle", nil)
	nobody, err := kubeconfig("nobody")
	if err != nil {
		t.Fatal(err)
	}
	empty := newNamespace(t, "nothing-here")
	cases := map[string]struct {
		as   string
		args []string
		code int
		says []string
	}{
		"no such track":         {args: []string{"status", "shpo", "-n", ns}, code: 1, says: []string{"ReleaseTrack shpo does not exist in namespace errors", "did you mean shop?", "kubectl stele status lists", "-n chooses"}},
		"no such release":       {args: []string{"show", "shop-111111111", "-n", ns}, code: 1, says: []string{"did you mean shop-1111111111?", "kubectl stele releases TRACK lists"}},
		"no such track at all":  {args: []string{"tree", "web", "-n", empty}, code: 1, says: []string{"does not exist in namespace nothing-here"}},
		"releases of nothing":   {args: []string{"releases", "web", "-n", ns}, code: 1, says: []string{"ReleaseTrack web does not exist"}},
		"diff with nothing":     {args: []string{"diff", "1111111", "-n", ns}, code: 0},
		"not allowed":           {as: nobody, args: []string{"status", "-n", ns}, code: 3, says: []string{"forbidden", "right to list releasetracks.stele.dev in namespace errors", "ClusterRole view", "docs/cli.md"}},
		"not allowed at all":    {as: nobody, args: []string{"status", "-A"}, code: 3, says: []string{"in the whole cluster", "-n instead of -A"}},
		"not allowed to see it": {as: nobody, args: []string{"show", "shop-1111111111", "-n", ns}, code: 3, says: []string{"right to get immutablereleases.stele.dev"}},
		"no such command":       {args: []string{"stauts"}, code: 2, says: []string{`no command "stauts"`, "did you mean status?", "See 'kubectl stele --help'"}},
		"no such flag":          {args: []string{"status", "--all"}, code: 2, says: []string{"unknown flag: --all", "See 'kubectl stele status --help'"}},
		"too many arguments":    {args: []string{"show", "a", "b"}, code: 2, says: []string{"accepts 1 arg(s), received 2", "See 'kubectl stele show --help'"}},
		"too few arguments":     {args: []string{"releases"}, code: 2, says: []string{"accepts 1 arg(s), received 0"}},
		"no such format":        {args: []string{"status", "-o", "xml"}, code: 2, says: []string{"one of wide, json, yaml, name"}},
		"no such shell":         {args: []string{"completion", "csh"}, code: 2, says: []string{`invalid argument "csh"`}},
		"a track and -A":        {args: []string{"status", "shop", "-A"}, code: 2, says: []string{"-n instead of -A"}},
		"an empty name":         {args: []string{"status", "", "-n", ns}, code: 2, says: []string{"empty"}},
		"no such context":       {args: []string{"status", "--context", "nowhere"}, code: 1, says: []string{`"nowhere"`, "get-contexts"}},
		"no such file":          {args: []string{"status", "--kubeconfig", "/nowhere/config"}, code: 1, says: []string{"/nowhere/config"}},
		"render without flags":  {args: []string{"render"}, code: 2, says: []string{"--path", "See 'kubectl stele render --help'"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.as == "" {
				tc.as = suite.admin
			}
			r := steleAs(t, tc.as, tc.args...)
			if r.code != tc.code {
				t.Errorf("exit code %d, want %d: %s%s", r.code, tc.code, r.stdout, r.stderr)
			}
			if tc.code != 0 && (r.stdout != "" || !strings.HasPrefix(r.stderr, "error: ")) {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
			for _, words := range tc.says {
				if !strings.Contains(r.stderr, words) {
					t.Errorf("it does not say %q:\n%s", words, r.stderr)
				}
			}
		})
	}
	t.Run("nothing there says what to do", func(t *testing.T) {
		if r := stele(t, "status", "-n", empty); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "No tracks in namespace nothing-here.\nLook in all namespaces with -A") {
			t.Errorf("exit code %d, %q, %q", r.code, r.stdout, r.stderr)
		}
		if r := stele(t, "releases", "idle", "-n", ns); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "Track idle has no releases yet") {
			t.Errorf("exit code %d, %q, %q", r.code, r.stdout, r.stderr)
		}
		if r := stele(t, "tree", "idle", "-n", ns); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "Nothing of track idle is in the cluster; kubectl stele status idle says why") {
			t.Errorf("exit code %d, %q, %q", r.code, r.stdout, r.stderr)
		}
	})
}

// Where there is no cluster, it says what kubectl says.
func TestNoCluster(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	for _, args := range [][]string{{"status"}, {"show", "a"}, {"releases", "a", "-w"}, {"tree", "a"}, {"diff", "a"}} {
		r := stele(t, append(args, "-s", "http://"+address)...)
		if r.code != 1 || !strings.Contains(r.stderr, "The connection to the server "+address+" was refused - did you specify the right host or port?") ||
			!strings.Contains(r.stderr, "--context or --kubeconfig") {
			t.Errorf("%v: exit code %d, %s%s", args, r.code, r.stdout, r.stderr)
		}
	}
	none := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := steleAs(t, none, "status"); r.code != 1 || r.stderr == "" {
		t.Errorf("an empty kubeconfig: exit code %d, %s", r.code, r.stderr)
	}
}

// A cluster without Stele is told as such.
func TestNotInstalled(t *testing.T) {
	env := &ctrlenvtest.Environment{}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Stop() })
	user, err := env.AddUser(ctrlenvtest.User{Name: "admin", Groups: []string{rbacv1.GroupKind, "system:masters"}}, config)
	if err != nil {
		t.Fatal(err)
	}
	data, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clientcmd.LoadFromFile(file); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"status", "-w"}, {"show", "a"}, {"releases", "a"}, {"tree", "a"}} {
		r := steleAs(t, file, args...)
		if r.code != 1 || !strings.Contains(r.stderr, "Stele is not installed in it") || !strings.Contains(r.stderr, "docs/install.md") {
			t.Errorf("%v: exit code %d, %s%s", args, r.code, r.stdout, r.stderr)
		}
	}
}
