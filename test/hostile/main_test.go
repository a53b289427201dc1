package hostile

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

const (
	// clusterPrefix and the pid make the cluster's name, so that suites run side by side and leftovers can be told.
	clusterPrefix = "hostile-"
	// memory is the limit of config/default, and softMemory its GOMEMLIMIT.
	memory     = 512 << 20
	softMemory = "430MiB"
	// gitWorkers is less than there are servers that hang.
	gitWorkers = 4
)

// suite is what all tests share.
var suite struct {
	cluster *testkit.Cluster
	// git is real, hostile is not. SSH of git leads to the scripts of hostile, where hostile has one.
	git     *gitserver.Server
	hostile *hostileserver.Server
	// elsewhere is where redirects lead; strayed counts what came there.
	elsewhere *httptest.Server
	strayed   atomic.Int64
	operator  *testkit.Operator
	ledger    *testkit.Ledger
	dir       string
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run starts everything, runs the tests, and stops everything, also when interrupted.
func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	logf.SetLogger(logr.Discard())
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
		_, _ = fmt.Fprintln(os.Stderr, "hostile:", err)
		return 1
	}
	return m.Run()
}

func setUp(ctx context.Context) error {
	testkit.StopLeftovers(clusterPrefix, os.Stderr)
	var err error
	if suite.dir, err = os.MkdirTemp("", "stele-hostile-"); err != nil {
		return err
	}
	suite.hostile = hostileserver.New()
	suite.elsewhere = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { suite.strayed.Add(1) }))
	if suite.git, err = gitserver.New(filepath.Join(suite.dir, "git"), gitserver.UploadPack(suite.hostile.ServeSSH)); err != nil {
		return err
	}
	binary, err := testkit.BuildOperator(ctx)
	if err != nil {
		return err
	}
	if suite.cluster, err = testkit.StartCluster(ctx, clusterPrefix+strconv.Itoa(os.Getpid()), os.Stderr); err != nil {
		return err
	}
	dir := filepath.Join(suite.dir, "operator")
	kubeconfig, err := suite.cluster.OperatorKubeconfig(ctx, filepath.Join(dir, "kubeconfig"))
	if err != nil {
		return err
	}
	if err := os.Setenv("GOMEMLIMIT", softMemory); err != nil { // read by processes that start now
		return err
	}
	if suite.operator, err = testkit.StartOperator(ctx, binary, kubeconfig, dir, "--git-workers", strconv.Itoa(gitWorkers)); err != nil {
		return err
	}
	home := filepath.Join(suite.dir, "ledger")
	kubeconfig, err = suite.cluster.LedgerKubeconfig(ctx, filepath.Join(home, "kubeconfig"))
	if err == nil {
		suite.ledger, err = testkit.StartLedger(ctx, binary, kubeconfig, home)
	}
	return err
}

func tearDown() {
	var errs []error
	if suite.operator != nil {
		errs = append(errs, suite.operator.Stop())
	}
	if suite.ledger != nil {
		errs = append(errs, suite.ledger.Stop())
	}
	if suite.git != nil {
		suite.git.Close()
	}
	if suite.hostile != nil {
		suite.hostile.Close()
	}
	if suite.elsewhere != nil {
		suite.elsewhere.Close()
	}
	if suite.cluster != nil {
		errs = append(errs, suite.cluster.Stop())
	}
	errs = append(errs, os.RemoveAll(suite.dir))
	if err := errors.Join(errs...); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "hostile: cleaning up:", err)
	}
}

// operatorLog is all that the operator has written.
func operatorLog() string {
	data, err := os.ReadFile(suite.operator.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
