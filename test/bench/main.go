package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
)

// options are the flags.
type options struct {
	operator     string
	operatorArgs []string
	only         []string
	quick, full  bool
	repetitions  int
	tracks       int
	markdown     string
	keep, trace  bool
}

func (o *options) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.operator, "operator", "bin/stele", "the operator's binary")
	flags.StringArrayVar(&o.operatorArgs, "operator-arg", nil, "another flag for the operator, e.g. --operator-arg=--log-level=debug")
	flags.StringSliceVar(&o.only, "only", nil, "measure these only: "+strings.Join(caseNames(), ", "))
	flags.BoolVar(&o.quick, "quick", false, "three repetitions, and smaller sizes where size is not the point")
	flags.BoolVar(&o.full, "full", false, "also 1,000 tracks")
	flags.IntVar(&o.repetitions, "repetitions", 0, "repetitions; default: 10 for one track, 5 for many, 3 with --quick")
	flags.IntVar(&o.tracks, "tracks", 100, "tracks of case idle; the budgets are for 100")
	flags.StringVar(&o.markdown, "markdown", "", "also write the report as Markdown into this file")
	flags.BoolVar(&o.keep, "keep", false, "leave the operator's logs and the Git caches in their temporary folder")
	flags.BoolVar(&o.trace, "trace", false, "calls: print every request of the operator with its time")
}

// repeat is the number of repetitions of a case.
func (o *options) repeat(usual int) int {
	switch {
	case o.repetitions > 0:
		return o.repetitions
	case o.quick:
		return 3
	}
	return usual
}

// bench is what a case gets.
type bench struct {
	*rig
	options
	report *report
}

// cases in the order in which they run. The names are those of --only.
var cases = []struct {
	name string
	run  func(context.Context, *bench) error
}{
	{"track", measureOneTrack},
	{"tracks20", func(ctx context.Context, b *bench) error { return measureManyTracks(ctx, b, 20) }},
	{"tracks100", func(ctx context.Context, b *bench) error { return measureManyTracks(ctx, b, 100) }},
	{"rollback", measureRollback},
	{"calls", measureCalls},
	{"idle", measureIdle},
	{"repository", measureRepository},
}

func caseNames() []string {
	var out []string
	for _, c := range cases {
		out = append(out, c.name)
	}
	return out
}

func main() {
	opts := options{}
	opts.register(pflag.CommandLine)
	pflag.Parse()
	ctrl.SetLogger(logr.Discard()) // the observer is of no interest
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, opts, os.Stdout, os.Stderr); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, and prints what was measured also when a case could not be.
func run(ctx context.Context, opts options, out, progress io.Writer) (err error) {
	for _, name := range opts.only {
		if !slices.Contains(caseNames(), name) {
			return fmt.Errorf("--only: there is no case %q; there are %s", name, strings.Join(caseNames(), ", "))
		}
	}
	operator, err := filepath.Abs(opts.operator)
	if err != nil {
		return err
	}
	if _, err := os.Stat(operator); err != nil {
		return fmt.Errorf("--operator: %w (make build)", err)
	}
	dir, err := tempDir()
	if err != nil {
		return err
	}
	defer func() {
		if opts.keep {
			_, _ = fmt.Fprintln(progress, "logs and caches:", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	r, err := newRig(ctx, fmt.Sprintf("bench-%d", os.Getpid()), operator, dir, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	r.args = opts.operatorArgs
	b := &bench{rig: r, options: opts, report: &report{log: progress}}
	err = b.all(ctx)
	b.report.text(out)
	return errors.Join(err, b.finish(out))
}

func (b *bench) all(ctx context.Context) error {
	for _, c := range cases {
		if len(b.only) > 0 && !slices.Contains(b.only, c.name) {
			continue
		}
		b.say("case %s (%s)", c.name, time.Now().Format(time.TimeOnly))
		if err := c.run(ctx, b); err != nil {
			return fmt.Errorf("case %s: %w", c.name, err)
		}
	}
	return nil
}

// finish says how many budgets are not met. That is not an error: how fast a machine is decides no build.
func (b *bench) finish(out io.Writer) error {
	_, _ = fmt.Fprintf(out, "\n%d figures, %d over budget\n", len(b.report.rows), b.report.over())
	if b.markdown == "" {
		return nil
	}
	f, err := os.Create(b.markdown)
	if err != nil {
		return err
	}
	b.report.markdown(f)
	return f.Close()
}
