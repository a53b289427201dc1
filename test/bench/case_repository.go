package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const (
	repositoryTimeBudget  = 60 * time.Millisecond
	repositoryBytesBudget = 1 << 20
	// podMemory is the limit of the operator's pod, for all that it does.
	podMemory = 512 << 20
	// fileSize makes 20,000 files 195 MiB, in Git too: random bytes do not compress.
	fileSize = 10_220
	// manyCommits is a push that is far beyond what gets a release each.
	manyCommits = 5_000
)

// grown are the repositories of the curve, small to large: first those that grow in files, then those that grow in commits. The path that
// is followed was made by the first commit of each, and touched by none since. One folder with all files is the worst of its kind: Git
// sends a folder as a whole when one entry of it changes, and the root's changes with every commit.
var grown = []struct {
	name string
	gitserver.Growth
}{
	{"100 files", gitserver.Growth{Files: 100, FileSize: fileSize, Noise: true, Commits: 1}},
	{"2,000 files", gitserver.Growth{Files: 2_000, FileSize: fileSize, Noise: true, Commits: 1}},
	{"20,000 files", gitserver.Growth{Files: 20_000, FileSize: fileSize, Noise: true, Commits: 1}},
	{"20,000 files in one folder", gitserver.Growth{Files: 20_000, FileSize: 400, Flat: true, Commits: 20}},
	{"100 commits", gitserver.Growth{Files: 2_000, FileSize: 400, Commits: 100}},
	{"50,000 commits", gitserver.Growth{Files: 2_000, FileSize: 400, Commits: 50_000}},
}

// point is one repository of the curve and what was measured of it.
type point struct {
	app
	name string
	repo *gitserver.Repo
	// version is that of the last commit.
	version int
	first   firstFetch
	// restarted is the first commit that an operator with a warm cache sees, in milliseconds until objects are created.
	restarted float64
	cost      commitCost
}

// firstFetch is what it costs to follow a repository that the operator does not know.
type firstFetch struct {
	took        time.Duration // from the track to its first release
	bytes, peak int64
}

// commitCost is what commits cost, from the trigger: milliseconds and bytes.
type commitCost struct{ made, created, bytes, peak []float64 }

// measureRepository measures one-line commits under a small path of repositories that grow. That the curve is flat is the point: the
// commits take turns, so that what disturbs one repository's disturbs the next one's too.
func measureRepository(ctx context.Context, b *bench) (err error) {
	ctx, cancel := timeout(ctx, 20*time.Minute)
	defer cancel()
	s, err := b.newStage(ctx, "repository", false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	var points []*point
	for i := range grown {
		p, err := s.grow(ctx, i, points)
		if err != nil {
			return fmt.Errorf("%s: %w", grown[i].name, err)
		}
		points = append(points, p)
	}
	// A new process: its memory is not what the first fetches have left, and its first look at a repository opens the cache.
	if err := errors.Join(s.restart(ctx), s.rest(ctx, appsOf(points))); err != nil {
		return err
	}
	for i := range b.repeat(10) + 1 {
		for _, p := range points {
			if err := errors.Join(s.oneCommit(ctx, p, i == 0), s.rest(ctx, appsOf(points))); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	b.addCurve(points)
	return b.pushMany(ctx, s, points[len(points)-1])
}

func appsOf(points []*point) []app {
	var out []app
	for _, p := range points {
		out = append(out, p.app)
	}
	return out
}

// grow makes a repository and lets a track follow it until its first release runs.
func (s *stage) grow(ctx context.Context, i int, before []*point) (*point, error) {
	g := grown[i]
	p := &point{app: app{name: fmt.Sprintf("shop%d", i), replicas: 1}, name: g.name, version: 1}
	var err error
	if p.repo, err = s.git.CreateRepo(p.app.name); err != nil {
		return nil, err
	}
	if g.Also, err = p.files(p.app.name, "1"); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := p.repo.Grow(g.Growth); err != nil {
		return nil, err
	}
	s.say("%s: made in %s", g.name, msText(millis(time.Since(start))))
	s.git.ResetRequests()
	if err := resetPeak(s.op.PID()); err != nil {
		return nil, err
	}
	start = time.Now()
	if err := s.createTrack(ctx, following{app: p.app, repo: p.app.name, path: "./" + p.app.name, interval: time.Hour, drain: time.Second}); err != nil {
		return nil, err
	}
	if err := s.rest(ctx, append(appsOf(before), p.app)); err != nil {
		return nil, err
	}
	made, err := s.madeAt(p)
	if err != nil {
		return nil, err
	}
	p.first.took, p.first.bytes = made.Sub(start), s.traffic()
	if _, p.first.peak, err = residentMemory(s.op.PID()); err != nil {
		return nil, err
	}
	s.say("%s: first release after %s, %s fetched, at most %s of memory", g.name, msText(millis(p.first.took)), bytesText(p.first.bytes), bytesText(p.first.peak))
	return p, nil
}

// madeAt is when the release that runs was rendered.
func (s *stage) madeAt(p *point) (time.Time, error) {
	r := s.observer.release(s.key(p.app), s.observer.running(s.key(p.app)).release)
	if r == nil || r.Status.Times.Created == nil {
		return time.Time{}, fmt.Errorf("the release of %s that runs does not say when it was made", p.app.name)
	}
	return r.Status.Times.Created.Time, nil
}

// traffic is what the Git server has sent and received since the last reset, in bodies.
func (s *stage) traffic() int64 {
	var out int64
	for _, r := range s.git.Requests() {
		out += r.In + r.Out
	}
	return out
}

// pushed is what it cost to follow one push: times in milliseconds from the trigger, and the highest resident memory in bytes.
type pushed struct {
	made, created float64
	peak          int64
}

// follow triggers a look at what was pushed, and measures until the newest commit is live.
func (s *stage) follow(ctx context.Context, p *point) (pushed, error) {
	s.git.ResetRequests()
	if err := resetPeak(s.op.PID()); err != nil {
		return pushed{}, err
	}
	start := time.Now()
	l, err := s.roll(ctx, []app{p.app}, func() error { return s.trigger(ctx, p.app) })
	if err != nil {
		return pushed{}, err
	}
	_, peak, err := residentMemory(s.op.PID())
	if err != nil {
		return pushed{}, err
	}
	made, err := s.madeAt(p)
	return pushed{made: millis(made.Sub(start)), created: l.way[0], peak: peak}, err
}

// oneCommit measures one commit. The first one after the restart opens the cache, and stands for itself.
func (s *stage) oneCommit(ctx context.Context, p *point, restarted bool) error {
	p.version++
	if err := commit(p.repo, []app{p.app}, p.version); err != nil {
		return err
	}
	cost, err := s.follow(ctx, p)
	if err != nil {
		return err
	}
	s.say("%s: release after %s, objects after %s, %s fetched", p.name, msText(cost.made), msText(cost.created), bytesText(s.traffic()))
	if restarted {
		p.restarted = cost.created
		return nil
	}
	p.cost.created = append(p.cost.created, cost.created)
	p.cost.made = append(p.cost.made, cost.made)
	p.cost.bytes = append(p.cost.bytes, float64(s.traffic()))
	p.cost.peak = append(p.cost.peak, float64(cost.peak))
	return nil
}

// pushMany measures a push of thousands of commits that all change the path: the newest hundred get a release each.
func (b *bench) pushMany(ctx context.Context, s *stage, p *point) error {
	var stream strings.Builder
	for i := range manyCommits {
		p.version++
		files, err := p.files(p.app.name, strconv.Itoa(p.version))
		if err != nil {
			return err
		}
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Test <test@example.invalid> %d +0000\ndata 6\nchange\n", time.Now().Unix()+int64(i))
		if i == 0 {
			stream.WriteString("from refs/heads/main^0\n")
		}
		for path, text := range files {
			fmt.Fprintf(&stream, "M 100644 inline %s\ndata %d\n%s\n", path, len(text), text)
		}
	}
	if err := p.repo.FastImport(stream.String()); err != nil {
		return err
	}
	cost, err := s.follow(ctx, p)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("push of %d commits that change the path, %s: ", manyCommits, p.name)
	b.report.add(row{what: what + "trigger to the newest one's release", figure: msText(cost.made)})
	b.report.add(row{what: what + "trigger to its objects created", figure: msText(cost.created)})
	b.report.add(row{what: what + "bytes on the wire", figure: bytesText(s.traffic())})
	b.report.add(row{what: what + "memory", figure: bytesText(cost.peak), budget: bytesText(podMemory), verdict: within(cost.peak <= podMemory)})
	return nil
}
