package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"

	kruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/writer"
	"github.com/stele-dev/stele/test/testkit"
)

// live is one life of a writer in a process of its own. LEDGER_TEST_KILL ("DELETE before 2") ends it with SIGKILL at a request.
func live(dir string) int {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return 1
	}
	config.QPS = -1
	if at := strings.Fields(os.Getenv("LEDGER_TEST_KILL")); len(at) == 3 {
		count, _ := strconv.Atoi(at[2])
		die := func(method, when string) {
			if method != at[0] || when != at[1] {
				return
			}
			if count--; count <= 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				die(r.Method, "before")
				response, err := next.RoundTrip(r)
				die(r.Method, "after")
				return response, err
			})
		})
	}
	scheme := kruntime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	mgr, err := manager(config, scheme)
	if err != nil {
		return 1
	}
	if _, err := writer.Setup(mgr, writer.Config{Path: dir, Namespace: namespace, KeySecret: v1alpha1.LedgerKeySecret}, ""); err != nil {
		return 1
	}
	if err := mgr.Start(context.Background()); err != nil {
		return 1
	}
	return 0
}

func spawn(t *testing.T, dir, kill string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "LEDGER_TEST_PATH="+dir, "KUBECONFIG="+suite.files, "LEDGER_TEST_KILL="+kill)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A writer is killed between any two requests, and at any time, while entries come in: each is in the log once.
func TestKilled(t *testing.T) {
	world(t)
	dir := filepath.Join(t.TempDir(), "log")
	random := rand.New(rand.NewPCG(3, 4))
	next := 0
	feed := func(n int) {
		for _, key := range numbered(next, next+n) {
			put(t, key)
		}
		next += n
	}
	for _, kill := range []string{"POST before 1", "POST after 1", "DELETE before 1", "DELETE after 1", "DELETE before 3", "DELETE after 4", "PATCH before 1", "PATCH after 1", "PATCH after 2"} {
		feed(6)
		cmd := spawn(t, dir, kill)
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		// What waits is worked on until it dies; more makes it get there.
		for dead := false; !dead; {
			select {
			case <-ended:
				dead = true
			case <-time.After(2 * time.Second):
				feed(1)
			case <-t.Context().Done():
				t.Fatal("the test is over")
			}
		}
	}
	for range 6 {
		cmd := spawn(t, dir, "")
		died := time.AfterFunc(time.Duration(200+random.IntN(600))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		feed(20)
		_ = cmd.Wait()
		died.Stop()
	}
	w := start(t, dir, options{})
	until(t, settled(int64(next+1)))
	w.stop(t)
	once(t, keysIn(t, dir), numbered(0, next))
	if err := testkit.Eventually(t.Context(), patience, func(ctx context.Context) error {
		if names, err := outbox(ctx); err != nil || len(names) > 0 {
			return fmt.Errorf("the outbox has %v, %w", names, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
