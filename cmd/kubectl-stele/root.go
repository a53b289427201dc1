package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// exitError ends the command with a code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// shell is what every command works with.
type shell struct {
	genericiooptions.IOStreams
	flags *genericclioptions.ConfigFlags
}

// run does what the arguments ask for, and returns the exit code.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	root := newRoot(&shell{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true)})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	_, _ = fmt.Fprintln(streams.ErrOut, "error:", err)
	if e := (*exitError)(nil); errors.As(err, &e) {
		return e.code
	}
	return exitFailed
}

func newRoot(s *shell) *cobra.Command {
	root := &cobra.Command{
		Use: "kubectl-stele", Short: "See what runs, roll back, and check the evidence", Version: version, SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(s.Out)
	root.SetErr(s.ErrOut)
	s.flags.AddFlags(root.PersistentFlags())
	for _, add := range commands {
		root.AddCommand(add(s))
	}
	return root
}

// commands are made by the files beside this one.
var commands []func(*shell) *cobra.Command

// client talks to the cluster that the flags name.
func (s *shell) client() (client.Client, error) {
	config, err := s.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// namespace that the flags or the context name.
func (s *shell) namespace() (string, error) {
	namespace, _, err := s.flags.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}
