package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const (
	repositoryTimeBudget  = 60 * time.Millisecond
	repositoryBytesBudget = 1 << 20
	// fileSize makes 20,000 files 195 MiB, in Git too: random bytes do not compress.
	fileSize = 10_220
)

// measureRepository measures one-line commits under a small path of repositories that grow. That the curve is flat is the
// point; the budget is for the largest.
func measureRepository(ctx context.Context, b *bench) error {
	for _, files := range []int{100, 2_000, 20_000} {
		if err := b.repository(ctx, files); err != nil {
			return fmt.Errorf("%d files: %w", files, err)
		}
	}
	return nil
}

// commitCost is what one commit cost, from the trigger.
type commitCost struct {
	made, created, bytes []float64
}

func (b *bench) repository(ctx context.Context, files int) (err error) {
	ctx, cancel := timeout(ctx, 15*time.Minute)
	defer cancel()
	s, err := b.newStage(ctx, "repository", false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	a := app{name: "shop", replicas: 1}
	repo, err := s.largeRepository(a, files)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := s.createTrack(ctx, following{app: a, repo: "large", path: "./" + a.name, interval: time.Hour, drain: time.Second}); err != nil {
		return err
	}
	if err := s.rest(ctx, []app{a}); err != nil {
		return err
	}
	b.say("%d files: first release after %s, %s fetched", files, msText(millis(time.Since(start))), bytesText(s.traffic()))
	var cost commitCost
	for i := range b.repeat(10) + 1 {
		if err := s.oneCommit(ctx, a, repo, i, &cost); err != nil {
			return err
		}
	}
	b.addRepository(files, &cost)
	return nil
}

func (s *stage) largeRepository(a app, files int) (*gitserver.Repo, error) {
	repo, err := s.git.CreateRepo("large")
	if err != nil {
		return nil, err
	}
	noise := rand.NewChaCha8([32]byte{1})
	content := map[string]string{}
	for i := range files {
		data := make([]byte, fileSize)
		_, _ = noise.Read(data) // never fails
		content[fmt.Sprintf("area%d/team%d/file%d", i%20, i%400, i)] = string(data)
	}
	if _, err := repo.Commit(content); err != nil {
		return nil, err
	}
	return repo, commit(repo, []app{a}, 1)
}

// traffic is what the Git server has sent and received since the last reset.
func (s *stage) traffic() int64 {
	var out int64
	for _, r := range s.git.Requests() {
		out += r.In + r.Out
	}
	return out
}

// oneCommit measures one commit; the first one warms up.
func (s *stage) oneCommit(ctx context.Context, a app, repo *gitserver.Repo, i int, cost *commitCost) error {
	if err := commit(repo, []app{a}, i+2); err != nil {
		return err
	}
	s.git.ResetRequests()
	start := time.Now()
	l, err := s.roll(ctx, []app{a}, func() error { return s.trigger(ctx, a) })
	if err != nil {
		return err
	}
	if err := s.rest(ctx, []app{a}); err != nil {
		return err
	}
	r := s.observer.release(s.key(a), l.now.release)
	if i == 0 || r == nil || r.Status.Times.Created == nil {
		return nil
	}
	cost.created = append(cost.created, l.way[0])
	cost.made = append(cost.made, millis(r.Status.Times.Created.Sub(start)))
	cost.bytes = append(cost.bytes, float64(s.traffic()))
	return nil
}

func (b *bench) addRepository(files int, cost *commitCost) {
	what := fmt.Sprintf("one-line commit, %d files, %s: ", files, bytesText(int64(files)*fileSize))
	made, created, bytes := spreadOf(cost.made), spreadOf(cost.created), spreadOf(cost.bytes)
	b.report.add(row{what: what + "trigger to release rendered", figure: made.ms()})
	b.report.add(row{what: what + "trigger to objects created", figure: created.ms(), budget: msText(millis(repositoryTimeBudget)),
		verdict: within(created.median <= millis(repositoryTimeBudget))})
	b.report.add(row{what: what + "bytes on the wire", figure: bytesText(int64(bytes.max)), budget: bytesText(repositoryBytesBudget),
		verdict: within(bytes.max <= repositoryBytesBudget)})
}
