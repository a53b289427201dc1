package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: demo --operator FILE --plugin FILE   tell the story; FILE: the binaries of the operator and of the plugin of kubectl
       demo down                            stop everything that it left running
       demo git stop|start                  stop the Git server, or start it again
`

var errUsage = errors.New("wrong arguments")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		_, _ = io.WriteString(os.Stderr, usage)
		os.Exit(2)
	default:
		_, _ = fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	files := newFiles()
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "down":
		return locked(files, func() error { return down(files, out) })
	case "serve": // the Git server's own process, started by the story
		return serve(ctx, files, args[1:])
	case "git":
		if len(args) != 2 {
			return errUsage
		}
		return gitServer{files}.control(ctx, args[1])
	}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var b binaries
	flags.StringVar(&b.operator, "operator", "", "the operator's binary")
	flags.StringVar(&b.plugin, "plugin", "", "the binary of the plugin of kubectl")
	if err := flags.Parse(args); err != nil || b.operator == "" || b.plugin == "" || flags.NArg() > 0 {
		return errUsage
	}
	return locked(files, func() error { return tellStory(ctx, files, b, out) })
}
