package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stele-dev/stele/test/testkit"
)

// TestCallsPerRelease counts what the operator asks of the API server for a first release, a further one and a rollback. A
// call too many costs every user of a cluster, and nobody sees it come in; times depend on the machine and are not looked at.
func TestCallsPerRelease(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Minute, errors.New("the test did not end within 3m"))
	t.Cleanup(cancel)
	operator, err := testkit.BuildOperator(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRig(ctx, fmt.Sprintf("calls-%d", os.Getpid()), operator, t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := r.newCounted(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the namespace goes with the cluster
		if err := c.op.Stop(); err != nil {
			t.Error(err)
		}
		c.proxy.close()
		c.git.Close()
	})
	for _, step := range []struct {
		name  string
		start func(context.Context) (calls, error)
		want  map[string]int
		// most: progress is written now and then while a slow machine is at work; see slack.
		most map[string]int
	}{
		{"first release", c.first, map[string]int{
			"create immutablereleases": 2, "create secrets": 1, "create configmaps": 1, "create deployments": 1, // one is a dry run
			"patch services": 1, "patch releasetracks": 1, "list immutablereleases": 1,
			"delete deployments": 0, "update services": 0, "update deployments": 0, "patch deployments": 0,
		}, map[string]int{"patch immutablereleases/status": 3, "patch releasetracks/status": 3, "create events": 1, "create subjectaccessreviews": 7}},
		{"a further release", c.next, map[string]int{
			"create immutablereleases": 1, "create secrets": 1, "create configmaps": 1, "create deployments": 1,
			"patch services": 1, "patch releasetracks": 0, "list immutablereleases": 0, "delete deployments": 1,
			"deletecollection configmaps": 1, "patch configmaps": 0, "patch deployments": 0,
		}, map[string]int{"patch immutablereleases/status": 4, "patch releasetracks/status": 2, "create events": 2, "create subjectaccessreviews": 7}},
		{"rollback", c.rollback, map[string]int{
			"create immutablereleases": 0, "create secrets": 1, "create configmaps": 1, "create deployments": 1, // the Secret says who has pinned
			"patch services": 1, "list immutablereleases": 0, "delete deployments": 1,
		}, map[string]int{"patch immutablereleases/status": 4, "patch releasetracks/status": 3, "create events": 2, "create subjectaccessreviews": 7}},
	} {
		got, err := step.start(ctx)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		c.check(t, step.name, got, step.want, step.most)
		if step.name != "rollback" { // then Git is away, and looked for again and again
			c.checkSettled(t, step.name)
		}
	}
}

// slack is how many more writes there may be because the machine was slow: while a rollout goes on, the progress of two objects
// is written once a second.
func (c *counted) slack() int { return 2 * int((c.took - c.drain).Seconds()) }

func (c *counted) check(t *testing.T, name string, got calls, want, most map[string]int) {
	t.Helper()
	by := got.by()
	for key, n := range want {
		if by[key] != n {
			t.Errorf("%s: %d times %q, want %d", name, by[key], key, n)
		}
	}
	for key, n := range most {
		if by[key] > n+c.slack() {
			t.Errorf("%s: %d times %q, want at most %d", name, by[key], key, n+c.slack())
		}
	}
	if n := got.count(mutating); n > mutatingBudget+c.slack() {
		t.Errorf("%s: %d mutating calls, want at most %d", name, n, mutatingBudget+c.slack())
	}
	if n := got.count(reading); n > readingBudget {
		t.Errorf("%s: %d reads, want at most %d", name, n, readingBudget)
	}
	if n := got.count(watching); n > 0 {
		t.Errorf("%s: %d watches were opened, want none", name, n)
	}
	if t.Failed() {
		t.Logf("%s, all calls:\n%s", name, got.times())
	}
}

// checkSettled: in a world at rest the operator asks nothing at all until the interval is over.
func (c *counted) checkSettled(t *testing.T, name string) {
	t.Helper()
	if err := sleep(t.Context(), 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := calls(c.proxy.take()); len(got) > 0 {
		t.Errorf("after %s: calls in a world at rest:\n%s", name, got.times())
	}
}
