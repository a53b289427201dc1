package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const (
	mutatingBudget = objectsPerRelease + servicesPerRelease + 12
	readingBudget  = objectsPerRelease + 20
)

// calls are the operator's requests for one release, from the trigger until the release before has left nothing.
type calls []apiRequest

func (c calls) count(k kind) int {
	n := 0
	for _, r := range c {
		if r.kind() == k {
			n++
		}
	}
	return n
}

// by counts requests by verb and resource, such as "patch services".
func (c calls) by() map[string]int {
	out := map[string]int{}
	for _, r := range c {
		what := r.target
		if r.kind() == recording {
			what = "entries of the audit ledger"
		}
		out[r.verb+" "+what]++
	}
	return out
}

// times prints every request with its time, for people who look for where time goes.
func (c calls) times() string {
	var b strings.Builder
	slices.SortFunc(c, func(a, b apiRequest) int { return a.start.Compare(b.start) })
	for _, r := range c {
		fmt.Fprintf(&b, "%9.1f ms  +%6.1f ms  %d  %-16s %s %s\n", millis(r.start.Sub(c[0].start)), millis(r.took), r.code, r.verb, r.target, r.name)
	}
	return b.String()
}

// counted is one track whose operator talks through the proxy.
type counted struct {
	*stage
	apps     []app
	repo     *gitserver.Repo
	version  int
	drain    time.Duration
	releases []string
	// took is the time of the last count, until all was at rest.
	took time.Duration
}

func (r *rig) newCounted(ctx context.Context) (*counted, error) {
	s, err := r.newStage(ctx, "calls", true)
	if err != nil {
		return nil, err
	}
	c := &counted{stage: s, apps: appsNamed("shop", 1, 2), version: 1, drain: time.Second}
	if c.repo, err = s.git.CreateRepo("apps"); err == nil {
		err = commit(c.repo, c.apps, c.version)
	}
	if err != nil {
		return nil, errors.Join(err, s.end(ctx))
	}
	return c, nil
}

// count does what starts a rollout and returns the operator's requests until all is at rest.
func (c *counted) count(ctx context.Context, do func() error) (calls, error) {
	if err := c.quiet(ctx); err != nil {
		return nil, err
	}
	c.proxy.take()
	start := time.Now()
	l, err := c.roll(ctx, c.apps, do)
	if err != nil {
		return nil, err
	}
	if err := c.rest(ctx, c.apps); err != nil {
		return nil, err
	}
	c.took = time.Since(start)
	if c.releases == nil || l.now.release != c.releases[len(c.releases)-1] {
		c.releases = append(c.releases, l.now.release)
	}
	if err := c.quiet(ctx); err != nil {
		return nil, err
	}
	return c.proxy.take(), nil
}

// quiet waits until the operator has asked nothing for a while: what it may put off (counters) has been written.
func (c *counted) quiet(ctx context.Context) error {
	const silence = 1500 * time.Millisecond
	for last, since := -1, time.Now(); time.Since(since) < silence; {
		c.proxy.mu.Lock()
		n := len(c.proxy.requests)
		c.proxy.mu.Unlock()
		if n != last {
			last, since = n, time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the operator to be quiet: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// first, next and rollback are the three rollouts that are counted.
func (c *counted) first(ctx context.Context) (calls, error) {
	return c.count(ctx, func() error {
		return c.createTrack(ctx, following{app: c.apps[0], repo: "apps", path: "./" + c.apps[0].name, interval: time.Hour, drain: c.drain})
	})
}

func (c *counted) next(ctx context.Context) (calls, error) {
	c.version++
	if err := commit(c.repo, c.apps, c.version); err != nil {
		return nil, err
	}
	return c.count(ctx, func() error { return c.trigger(ctx, c.apps...) })
}

// rollback pins the first release, with the Git server stopped.
func (c *counted) rollback(ctx context.Context) (calls, error) {
	c.git.Stop()
	return c.count(ctx, func() error {
		return c.patchTrack(ctx, c.apps[0], fmt.Sprintf(`{"spec":{"pin":%q}}`, c.releases[0]))
	})
}

func measureCalls(ctx context.Context, b *bench) (err error) {
	ctx, cancel := timeout(ctx, 10*time.Minute)
	defer cancel()
	c, err := b.newCounted(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end(ctx)) }()
	first, err := c.first(ctx)
	if err != nil {
		return err
	}
	var next []calls
	for range b.repeat(5) {
		n, err := c.next(ctx)
		if err != nil {
			return err
		}
		next = append(next, n)
	}
	back, err := c.rollback(ctx)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		what string
		runs []calls
	}{{"first release", []calls{first}}, {"a further release", next}, {"rollback", []calls{back}}} {
		b.addCalls(part.what, part.runs)
		b.addLedger(part.what, part.runs)
		if b.trace {
			_, _ = fmt.Fprintf(b.progress, "\n%s:\n%s", part.what, part.runs[len(part.runs)-1].times())
		}
	}
	b.explainCalls(first, next[len(next)-1], back)
	return nil
}

func (b *bench) addCalls(what string, runs []calls) {
	for _, part := range []struct {
		what   string
		kind   kind
		budget int
	}{{"mutating calls", mutating, mutatingBudget}, {"reads", reading, readingBudget}, {"reviews and dry runs", reviewing, 0}, {"entries of the audit ledger", recording, 0}} {
		var counts []float64
		for _, c := range runs {
			counts = append(counts, float64(c.count(part.kind)))
		}
		n := spreadOf(counts)
		r := row{what: what + ": " + part.what, figure: n.count()}
		if part.budget > 0 {
			r.budget, r.verdict = fmt.Sprint(part.budget), within(n.max <= float64(part.budget))
		}
		b.report.add(r)
	}
}

func (b *bench) explainCalls(runs ...calls) {
	all := map[string]bool{}
	var counts []map[string]int
	for _, c := range runs {
		by := c.by()
		counts = append(counts, by)
		for key := range by {
			all[key] = true
		}
	}
	t := table{title: "Requests to the API server for one release of 3 objects, from the trigger until the release before has left nothing",
		head: []string{"Request", "First release", "A further release", "Rollback"}}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		line := []string{key}
		for _, by := range counts {
			line = append(line, fmt.Sprint(by[key]))
		}
		t.rows = append(t.rows, line)
	}
	b.report.explain(t)
}
