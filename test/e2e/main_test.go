package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const (
	// clusterPrefix and the pid make the cluster's name, so that suites run side by side and leftovers can be told.
	clusterPrefix = "e2e-"
	// patience is how long a story waits for what should take a second or two: the machine may be busy.
	patience = 90 * time.Second
	// together is how many stories are told at a time. They mostly wait, so more than there are cores.
	together = "6"
)

// suite is what all stories share.
var suite struct {
	cluster *testkit.Cluster
	client  client.WithWatch
	git     *gitserver.Server
	film    *film
	dir     string
	binary  string
	// hooks is the address on which the operator is told of pushes.
	hooks string

	mu       sync.Mutex
	operator *testkit.Operator
	ledger   *testkit.Ledger
	// stories that have not ended; removing the CRDs waits for them.
	stories sync.WaitGroup
}

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); !isSet(f.Name) {
		_ = flag.Set(f.Name, together)
	} else if f.Value.String() == "1" {
		// The story that waits for all others must not be the only one that may run.
		_ = flag.Set(f.Name, "2")
	}
	os.Exit(run(m))
}

func isSet(name string) bool {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// run starts everything, runs the tests, and stops everything, also when interrupted.
func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	logf.SetLogger(logr.Discard())
	gomega.SetDefaultEventuallyTimeout(patience)
	gomega.SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	gomega.EnforceDefaultTimeoutsWhenUsingContexts()

	stop := sync.OnceFunc(tearDown)
	defer stop()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		stop()
		os.Exit(1)
	}()
	if err := setUp(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		_, _ = fmt.Fprintf(os.Stderr, "--- the operator's log ends with\n%s", tail(brief(operatorLog()), 60))
	}
	return code
}

func setUp(ctx context.Context) error {
	testkit.StopLeftovers(clusterPrefix, os.Stderr)
	var err error
	if suite.dir, err = os.MkdirTemp("", "stele-e2e-"); err != nil {
		return err
	}
	if suite.git, err = gitserver.New(filepath.Join(suite.dir, "git")); err != nil {
		return err
	}
	built, err := testkit.BuildOperator(ctx)
	if err != nil {
		return err
	}
	// A copy: somebody may build again while the stories are told.
	suite.binary = filepath.Join(suite.dir, "stele")
	data, err := os.ReadFile(built)
	if err != nil {
		return err
	}
	if err := os.WriteFile(suite.binary, data, 0o755); err != nil {
		return err
	}
	if suite.hooks, err = testkit.FreeAddress(); err != nil {
		return err
	}
	if suite.cluster, err = testkit.StartCluster(ctx, clusterPrefix+strconv.Itoa(os.Getpid()), os.Stderr); err != nil {
		return err
	}
	suite.client, err = client.NewWithWatch(suite.cluster.Config, client.Options{Scheme: suite.cluster.Client.Scheme()})
	if err != nil {
		return err
	}
	if suite.film, err = startFilm(ctx, suite.client); err != nil {
		return err
	}
	if err := startOperator(ctx); err != nil {
		return err
	}
	return startLedger(ctx)
}

// startOperator starts the one operator that serves all stories, with the log and the Git cache of the one before it.
func startOperator(ctx context.Context) error {
	o, err := operatorIn(ctx, filepath.Join(suite.dir, "operator"), "--webhook-addr", suite.hooks)
	suite.mu.Lock()
	suite.operator = o
	suite.mu.Unlock()
	return err
}

// operatorIn starts an operator with the identity and the rights of the installed one, and no others.
func operatorIn(ctx context.Context, dir string, args ...string) (*testkit.Operator, error) {
	kubeconfig, err := suite.cluster.OperatorKubeconfig(ctx, filepath.Join(dir, "kubeconfig"))
	if err != nil {
		return nil, err
	}
	return testkit.StartOperator(ctx, suite.binary, kubeconfig, dir, args...)
}

func operator() *testkit.Operator {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	return suite.operator
}

func operatorLog() string {
	data, err := os.ReadFile(filepath.Join(suite.dir, "operator", "operator.log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func tearDown() {
	var errs []error
	if o := operator(); o != nil {
		errs = append(errs, o.Stop())
	}
	if l := ledger(); l != nil {
		errs = append(errs, l.Stop())
	}
	if suite.git != nil {
		suite.git.Close()
	}
	if suite.cluster != nil {
		errs = append(errs, suite.cluster.Stop())
	}
	errs = append(errs, os.RemoveAll(suite.dir))
	if err := errors.Join(errs...); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "e2e: cleaning up:", err)
	}
}

// brief leaves out of log lines what repeats in each of them.
func brief(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		fields := map[string]any{}
		if json.Unmarshal([]byte(line), &fields) != nil {
			b.WriteString(line)
			continue
		}
		if ts, ok := fields["ts"].(float64); ok {
			b.WriteString(time.UnixMicro(int64(ts * 1e6)).UTC().Format("15:04:05.000"))
		}
		for _, key := range []string{"level", "msg", "namespace", "name", "step", "release", "run", "outcome", "error"} {
			if v := fields[key]; v != nil && v != "" {
				fmt.Fprintf(&b, " %v", v)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}
