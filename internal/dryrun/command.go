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

// flags of the subcommand.
type flags struct {
	path, track, namespace, output string
	minImages, minHardening        string
}

// Run does what the arguments ask for and returns the exit code.
func (c Command) Run(args []string) int {
	f, err := c.parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return exitAccepted
	}
	if err == nil {
		var r *Report
		if r, err = c.report(f); err == nil {
			if err = r.print(c.Out, f.output); err == nil {
				return r.exitCode()
			}
		}
	}
	_, _ = fmt.Fprintln(c.Err, "stele render:", policy.Printable(err.Error()))
	return exitTrouble
}

func (c Command) parse(args []string) (flags, error) {
	var f flags
	set := pflag.NewFlagSet("render", pflag.ContinueOnError)
	set.SetOutput(c.Err)
	set.SortFlags = false
	set.Usage = func() {
		_, _ = fmt.Fprint(c.Err, "Tell what a release of a folder would be, and what every gate says. No cluster is asked.\n\n"+
			"  stele render --path DIR --track FILE\n\n"+set.FlagUsages()+
			"\nExit codes: 0 no gate fails, 1 a gate fails, 2 it could not be found out.\n")
	}
	set.StringVar(&f.path, "path", "", "folder with the manifests, within its Git repository; what it uses may be anywhere in the repository")
	set.StringVar(&f.track, "track", "", "file with the ReleaseTrack")
	set.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the track, if the file does not name one")
	set.StringVarP(&f.output, "output", "o", outputText, "text, json or yaml")
	set.StringVar(&f.minImages, "min-gate-images", string(v1alpha1.ImagesIgnore), "the operator's flag: Resolve, Require or Ignore (no floor)")
	set.StringVar(&f.minHardening, "min-gate-hardening", string(v1alpha1.GateIgnore), "the operator's flag: Enforce, Warn or Ignore (no floor)")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		return f, fmt.Errorf("there are flags only, and %q is none; see --help", set.Arg(0))
	case f.path == "":
		return f, errors.New("--path: name the folder with the manifests; see --help")
	case f.track == "":
		return f, errors.New("--track: name the file with the ReleaseTrack; see --help")
	case f.output != outputText && f.output != outputJSON && f.output != outputYAML:
		return f, errors.New("--output: one of text, json, yaml")
	}
	return f, nil
}

func (c Command) report(f flags) (*Report, error) {
	floor, err := policy.ParseFloor(f.minImages, f.minHardening)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(f.track)
	if err != nil {
		return nil, fmt.Errorf("--track: %w", err)
	}
	track, err := readTrack(c.CRD, data, f.namespace)
	if err != nil {
		return nil, fmt.Errorf("--track %s: %w", f.track, err)
	}
	repo, path, err := openRepository(f.path)
	if err != nil {
		return nil, fmt.Errorf("--path: %w", err)
	}
	defer func() { _ = repo.Close() }()
	r, err := newReport(repo.FS(), path, track)
	if err != nil {
		return nil, fmt.Errorf("--path %s: %w", f.path, err)
	}
	r.BelowFloor = floor.Below(track.Spec.Gates)
	return r, nil
}
