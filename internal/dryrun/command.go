package dryrun

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

// Exit codes.
const (
	exitAccepted = 0
	exitRefused  = 1 // a gate fails, or the track is below the floor
	exitTrouble  = 2 // it could not be found out: wrong flags, no track, a folder that cannot be read
)

// Command is the subcommand "render".
type Command struct {
	// CRD is the CustomResourceDefinition of ReleaseTrack: its schema says what a track may hold, and what it holds by default.
	CRD []byte
	// Out gets the report, Err what went wrong.
	Out, Err io.Writer
}

// Options are what is asked for.
type Options struct {
	// Path of the folder with the manifests, Track the file with the ReleaseTrack, Namespace that of the track if the file names none.
	Path, Track, Namespace string
	// Output is text, json or yaml.
	Output string
	// MinImages and MinHardening are the floors of a cluster.
	MinImages, MinHardening string
}

// Register adds the flags that say what is looked at. Namespace and Output are the caller's.
func (o *Options) Register(set *pflag.FlagSet) {
	set.StringVar(&o.Path, "path", "", "folder with the manifests, within its Git repository; what it uses may be anywhere in the repository")
	set.StringVar(&o.Track, "track", "", "file with the ReleaseTrack")
	set.StringVar(&o.MinImages, "min-gate-images", string(v1alpha1.ImagesIgnore), "the operator's flag: Resolve, Require or Ignore (no floor)")
	set.StringVar(&o.MinHardening, "min-gate-hardening", string(v1alpha1.GateIgnore), "the operator's flag: Enforce, Warn or Ignore (no floor)")
}

// Check says what is missing, or is none of the values that there are.
func (o *Options) Check() error {
	switch {
	case o.Path == "":
		return errors.New("--path: name the folder with the manifests; see --help")
	case o.Track == "":
		return errors.New("--track: name the file with the ReleaseTrack; see --help")
	case o.Output != outputText && o.Output != outputJSON && o.Output != outputYAML:
		return errors.New("--output: one of text, json, yaml")
	}
	return nil
}

// Run does what the arguments ask for and returns the exit code.
func (c Command) Run(args []string) int {
	f, err := c.parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return exitAccepted
	}
	if err == nil {
		var r *Report
		if r, err = c.Report(f); err == nil {
			if err = r.Print(c.Out, f.Output); err == nil {
				return r.exitCode()
			}
		}
	}
	_, _ = fmt.Fprintln(c.Err, "stele render:", policy.Printable(err.Error()))
	return exitTrouble
}

func (c Command) parse(args []string) (Options, error) {
	var f Options
	set := pflag.NewFlagSet("render", pflag.ContinueOnError)
	set.SetOutput(c.Err)
	set.SortFlags = false
	set.Usage = func() {
		_, _ = fmt.Fprint(c.Err, "Tell what a release of a folder would be, and what every gate says. No cluster is asked.\n\n"+
			"  stele render --path DIR --track FILE\n\n"+set.FlagUsages()+
			"\nExit codes: 0 no gate fails, 1 a gate fails, 2 it could not be found out.\n")
	}
	f.Register(set)
	set.StringVarP(&f.Namespace, "namespace", "n", "", "namespace of the track, if the file does not name one")
	set.StringVarP(&f.Output, "output", "o", outputText, "text, json or yaml")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("there are flags only, and %q is none; see --help", set.Arg(0))
	}
	return f, f.Check()
}

// Report finds out what a release would be.
func (c Command) Report(f Options) (*Report, error) {
	floor, err := policy.ParseFloor(f.MinImages, f.MinHardening)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(f.Track)
	if err != nil {
		return nil, fmt.Errorf("--track: %w", err)
	}
	track, err := readTrack(c.CRD, data, f.Namespace)
	if err != nil {
		return nil, fmt.Errorf("--track %s: %w", f.Track, err)
	}
	repo, path, err := openRepository(f.Path)
	if err != nil {
		return nil, fmt.Errorf("--path: %w", err)
	}
	defer func() { _ = repo.Close() }()
	r, err := newReport(repo.FS(), path, track)
	if err != nil {
		return nil, fmt.Errorf("--path %s: %w", f.Path, err)
	}
	r.BelowFloor = floor.Below(track.Spec.Gates)
	return r, nil
}
