package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Exit codes. They are a contract: docs/cli.md.
const (
	exitDone    = 0 // done, or all is well
	exitFailed  = 1 // something went wrong
	exitUsage   = 2 // the command line is wrong
	exitRefused = 3 // the cluster or the operator refused
	exitTimeout = 4 // it was not seen to be done in time
	exitInvalid = 5 // evidence does not verify
)

// Groups of commands in the help, by what people want.
const (
	groupSee   = "see"
	groupAct   = "act"
	groupProve = "prove"
	groupOther = "other"
)

// shell is what every command works with.
type shell struct {
	genericiooptions.IOStreams
	flags *genericclioptions.ConfigFlags
	// now is the clock that ages are told by.
	now func() time.Time
	// called is what people type to run this program.
	called string
	// began: a command has begun to work; what is wrong before is wrong with the command line.
	began bool
}

// run does what the arguments ask for, and returns the exit code.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	return newShell(streams, os.Args[0]).run(ctx, args)
}

func newShell(streams genericiooptions.IOStreams, program string) *shell {
	// Whatever is written ends up in a terminal, maybe: see safe.go.
	streams.Out, streams.ErrOut = &safeWriter{to: streams.Out}, &safeWriter{to: streams.ErrOut}
	return &shell{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true), now: time.Now, called: calledAs(program)}
}

func (s *shell) run(ctx context.Context, args []string) int {
	log.SetLogger(logr.Discard()) // libraries have nothing to say to who uses the plugin
	root := newRoot(s)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	return s.fail(cmd, err)
}

func newRoot(s *shell) *cobra.Command {
	root := &cobra.Command{
		Use: "kubectl-stele", Short: "See what runs, roll back, and prove what happened", Version: version, SilenceUsage: true, SilenceErrors: true,
		Long: "See what runs and what waits, go back to an earlier release, and prove to anybody what happened.\n\n" +
			"A track follows a path of a Git repository. Every commit that changes the path becomes a release. One release of a track runs.",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: s.called},
		Example: "  kubectl stele rollback shop           # what runs is bad: back to the last good release\n" +
			"  kubectl stele status                  # what runs in this namespace, and what waits and why\n" +
			"  kubectl stele releases shop           # the history of a track\n" +
			"  kubectl stele show shop-0ec84d9953    # one release, with all that is known of it",
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // completion.go has more
	}
	root.SetOut(s.Out)
	root.SetErr(s.ErrOut)
	s.flags.AddFlags(root.PersistentFlags())
	for name, text := range map[string]string{
		"namespace": "namespace to look in; that of the context if left out", "context": "context of the kubeconfig to use", "kubeconfig": "kubeconfig file to use",
		"request-timeout": "longest time for one request, e.g. 10s; 0: no limit",
	} {
		root.PersistentFlags().Lookup(name).Usage = text
	}
	root.AddGroup(&cobra.Group{ID: groupSee, Title: "See:"}, &cobra.Group{ID: groupAct, Title: "Act:"},
		&cobra.Group{ID: groupProve, Title: "Prove:"}, &cobra.Group{ID: groupOther, Title: "Other:"})
	root.SetHelpCommandGroupID(groupOther)
	for _, add := range commands {
		root.AddCommand(add(s))
	}
	s.completeFlags(root)
	root.SetUsageFunc(s.usage)
	root.SetHelpFunc(s.help)
	s.prepare(root)
	return root
}

// prepare makes every command tell wrong command lines from work that failed, and every group of commands say what it has.
func (s *shell) prepare(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		s.prepare(sub)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = onlySubcommands
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if work := cmd.RunE; work != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			s.began = true
			return work(cmd, args)
		}
	}
}

// commands are made by the files beside this one.
var commands []func(*shell) *cobra.Command

// config says how to reach the cluster that the flags name.
func (s *shell) config() (*rest.Config, error) {
	config, err := s.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "kubectl-stele/" + version
	config.QPS, config.Burst = 50, 300 // as kubectl
	config.WarningHandler = rest.NewWarningWriter(s.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	return config, nil
}

// client talks to the cluster that the flags name.
func (s *shell) client() (client.WithWatch, error) {
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

// namespace that the flags or the context name.
func (s *shell) namespace() (string, error) {
	namespace, _, err := s.flags.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}

// printf writes to people; what cannot be written is nobody's to read.
func (s *shell) printf(format string, args ...any) { _, _ = fmt.Fprintf(s.Out, format, args...) }

// notef writes beside the output, which programs may read.
func (s *shell) notef(format string, args ...any) { _, _ = fmt.Fprintf(s.ErrOut, format, args...) }
