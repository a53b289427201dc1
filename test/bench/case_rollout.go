package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const (
	oneTrackBudget   = 1.4
	manyTracksBudget = 1.8
	rollbackBudget   = 1.3
	activeBudget     = 100 * time.Millisecond
)

// breath is what the cluster gets to clean up after one side before the other begins: garbage goes after its owner.
const breath = time.Second

// duel is a floor and a stage with the same apps.
type duel struct {
	*stage
	floor *floor
	apps  []app
}

// newDuel starts both sides. begin makes the repositories and the tracks.
func (b *bench) newDuel(ctx context.Context, name string, apps []app, begin func(*stage) error) (*duel, error) {
	f, err := newFloor(ctx, b.cluster, b.observer, fmt.Sprintf("bench-floor-%s-%d", name, b.stages), apps)
	if err != nil {
		return nil, err
	}
	s, err := b.newStage(ctx, name, false)
	if err != nil {
		return nil, err
	}
	d := &duel{stage: s, floor: f, apps: apps}
	if err := begin(s); err != nil {
		return nil, errors.Join(err, d.end(ctx))
	}
	if err := s.rest(ctx, apps); err != nil {
		return nil, errors.Join(err, d.end(ctx))
	}
	return d, nil
}

func (d *duel) end(ctx context.Context) error {
	return errors.Join(d.stage.end(ctx), d.deleteNamespace(context.WithoutCancel(ctx), d.floor.namespace))
}

// results of a duel.
type results struct {
	pairs
	// lag is from switched endpoints to phase Active.
	lag []float64
	// floorUsage and steleUsage are the processor times of each run, until phase Active.
	floorUsage, steleUsage []usage
	// floorWay and steleWay split each run of a single app.
	floorWay, steleWay []way
}

// fight alternates the floor and Stele. The first pair warms both up and is left out. do(i) starts Stele's i-th rollout.
func (d *duel) fight(ctx context.Context, repetitions int, prepare func(i int) error, do func(i int) error) (results, error) {
	var out results
	for i := range repetitions + 1 {
		base, baseUsed, err := d.using(func() (live, error) { return d.floor.roll(ctx) })
		if err != nil {
			return out, err
		}
		if err := d.floor.removeOld(ctx); err != nil {
			return out, err
		}
		if err := prepare(i); err != nil {
			return out, err
		}
		if err := sleep(ctx, breath); err != nil {
			return out, err
		}
		l, used, err := d.using(func() (live, error) { return d.roll(ctx, d.apps, func() error { return do(i) }) })
		if err != nil {
			return out, err
		}
		if err := errors.Join(d.rest(ctx, d.apps), sleep(ctx, breath)); err != nil {
			return out, err
		}
		d.say("%d: floor %s, Stele %s, Active %s, operator's processor %s", i, msText(millis(base.switched)), msText(millis(l.switched)), msText(millis(l.active)),
			msText(millis(used["operator"])))
		if i == 0 {
			continue
		}
		out.add(base.switched, l.switched)
		out.lag = append(out.lag, millis(l.active-l.switched))
		out.floorUsage, out.steleUsage = append(out.floorUsage, baseUsed), append(out.steleUsage, used)
		out.floorWay, out.steleWay = append(out.floorWay, base.way), append(out.steleWay, l.way)
	}
	return out, nil
}

// using does something and says what processor time that took.
func (d *duel) using(do func() (live, error)) (live, usage, error) {
	before, err := usageNow(d.cluster.Dir, d.op.PID())
	if err != nil {
		return live{}, nil, err
	}
	out, err := do()
	if err != nil {
		return live{}, nil, err
	}
	after, err := usageNow(d.cluster.Dir, d.op.PID())
	return out, after.since(before), err
}

// timeout bounds a case, so that a rollout that hangs ends the run with a word.
func timeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("the case did not end within %s", d))
}

func measureOneTrack(ctx context.Context, b *bench) (err error) {
	ctx, cancel := timeout(ctx, 15*time.Minute)
	defer cancel()
	apps := appsNamed("shop", 1, 2)
	var repo *gitserver.Repo
	d, err := b.newDuel(ctx, "track", apps, func(s *stage) (err error) {
		repo, err = s.shared(ctx, apps, 2*time.Second)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end(ctx)) }()
	res, err := d.fight(ctx, b.repeat(10), func(i int) error { return commit(repo, apps, i+2) }, func(int) error { return d.trigger(ctx, apps...) })
	if err != nil {
		return err
	}
	b.addRatio("trigger to live, 1 track of 3 objects", res.pairs, oneTrackBudget)
	lag := spreadOf(res.lag)
	b.report.add(row{what: "live to phase Active", figure: lag.ms(), budget: "100 ms", verdict: within(lag.median <= millis(activeBudget))})
	b.explainWay("Trigger to live, 1 track, by what the cluster shows", res)
	return nil
}

// addRatio adds a line of two medians and the ratio of the pairs.
func (b *bench) addRatio(what string, p pairs, budget float64) {
	ratio := p.ratios()
	b.report.add(row{what: what, floor: msText(spreadOf(p.floor).median), stele: msText(spreadOf(p.stele).median), figure: ratio.ratio(),
		budget: fmt.Sprintf("%.1f x", budget), verdict: within(ratio.median <= budget)})
}

// explainWay splits the rollouts of one app by what the cluster showed.
func (b *bench) explainWay(title string, res results) {
	t := table{title: title, head: []string{"Part", "Floor", "Stele"}}
	for i, part := range []string{"until the Deployment is there", "until it is ready", "until the endpoints have moved"} {
		column := func(ways []way) string {
			var out []float64
			for _, w := range ways {
				out = append(out, w[i])
			}
			return spreadOf(out).ms()
		}
		t.rows = append(t.rows, []string{part, column(res.floorWay), column(res.steleWay)})
	}
	b.report.explain(t)
}

// shared makes one repository with a path per app, and a track for each.
func (s *stage) shared(ctx context.Context, apps []app, drain time.Duration) (*gitserver.Repo, error) {
	repo, err := s.git.CreateRepo("apps")
	if err != nil {
		return nil, err
	}
	if err := commit(repo, apps, 1); err != nil {
		return nil, err
	}
	return repo, each(apps, func(a app) error {
		return s.createTrack(ctx, following{app: a, repo: "apps", path: "./" + a.name, interval: time.Hour, drain: drain})
	})
}

// separate makes a repository and a track for each app.
func (s *stage) separate(ctx context.Context, apps []app, drain time.Duration) ([]*gitserver.Repo, error) {
	repos := make([]*gitserver.Repo, len(apps))
	for i, a := range apps {
		var err error
		if repos[i], err = s.git.CreateRepo(a.name); err != nil {
			return nil, err
		}
		if err := commit(repos[i], apps[i:i+1], 1); err != nil {
			return nil, err
		}
		if err := s.createTrack(ctx, following{app: a, repo: a.name, path: "./" + a.name, interval: time.Hour, drain: drain}); err != nil {
			return nil, err
		}
	}
	return repos, nil
}

// measureManyTracks measures n tracks of one repository; 20 tracks also with a repository each.
func measureManyTracks(ctx context.Context, b *bench, n int) error {
	// Old replicas end after the drain: it is long enough that none does while traffic still moves elsewhere.
	drain := 10 * time.Second
	if n > 20 {
		drain = 30 * time.Second
	}
	apps := appsNamed("app", n, 1)
	var repo *gitserver.Repo
	err := b.manyTracks(ctx, fmt.Sprintf("%d tracks, one repository, one commit", n), apps, func(s *stage) (err error) {
		repo, err = s.shared(ctx, apps, drain)
		return err
	}, func(i int) error { return commit(repo, apps, i+2) })
	if err != nil || n > 20 {
		return err
	}
	var repos []*gitserver.Repo
	return b.manyTracks(ctx, fmt.Sprintf("%d tracks, a repository and a commit each", n), apps, func(s *stage) (err error) {
		repos, err = s.separate(ctx, apps, drain)
		return err
	}, func(i int) error {
		for j := range repos {
			if err := commit(repos[j], apps[j:j+1], i+2); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) manyTracks(ctx context.Context, what string, apps []app, begin func(*stage) error, push func(i int) error) (err error) {
	ctx, cancel := timeout(ctx, 40*time.Minute)
	defer cancel()
	d, err := b.newDuel(ctx, fmt.Sprintf("tracks%d", len(apps)), apps, begin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end(ctx)) }()
	res, err := d.fight(ctx, b.repeat(5), push, func(int) error { return d.trigger(ctx, apps...) })
	if err != nil {
		return err
	}
	b.addRatio(what+" to all live", res.pairs, manyTracksBudget)
	b.explainUsage(what+": processor time until all are Active, median", res.floorUsage, res.steleUsage)
	return nil
}

// measureRollback pins older releases in turn, with the Git server stopped.
func measureRollback(ctx context.Context, b *bench) (err error) {
	ctx, cancel := timeout(ctx, 15*time.Minute)
	defer cancel()
	apps := appsNamed("shop", 1, 2)
	var releases [2]string
	d, err := b.newDuel(ctx, "rollback", apps, func(s *stage) error {
		repo, err := s.shared(ctx, apps, 2*time.Second)
		if err != nil {
			return err
		}
		if err := s.rest(ctx, apps); err != nil {
			return err
		}
		releases[0] = s.observer.running(s.key(apps[0])).release
		l, err := s.roll(ctx, apps, func() error { return errors.Join(commit(repo, apps, 2), s.trigger(ctx, apps...)) })
		releases[1] = l.now.release
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end(ctx)) }()
	d.git.Stop()
	res, err := d.fight(ctx, b.repeat(10), func(int) error { return nil }, func(i int) error {
		return d.patchTrack(ctx, apps[0], fmt.Sprintf(`{"spec":{"pin":%q}}`, releases[i%2]))
	})
	if err != nil {
		return err
	}
	b.addRatio("rollback with Git down to live", res.pairs, rollbackBudget)
	lag := spreadOf(res.lag)
	b.explainWay("Rollback to live, by what the cluster shows", res)
	b.report.add(row{what: "rollback: live to phase Active", figure: lag.ms(), budget: "100 ms", verdict: within(lag.median <= millis(activeBudget))})
	return nil
}
