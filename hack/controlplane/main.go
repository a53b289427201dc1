//go:build unix

// Command controlplane runs Kubernetes clusters without containers, for development and tests: the real control plane
// as processes on the loopback interface, and fake nodes whose pods become ready without running anything.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/stele-dev/stele/hack/controlplane/internal/binaries"
	"github.com/stele-dev/stele/hack/controlplane/internal/cluster"
)

//go:embed go.mod
var goMod []byte

//go:embed go.sum
var goSum []byte

const usage = `usage: controlplane <verb> [flags]

  up      --name x --dir .cluster/x [--nodes 3]   start a cluster; the last line printed is its kubeconfig
  down    --name x --dir .cluster/x               end it and remove its folder
  status  --dir .cluster                          one line per cluster
  build                                           build all programs; prints their folder
  assets                                          build what envtest needs; prints the folder for KUBEBUILDER_ASSETS
`

// errUsage means that the command was called wrongly; what is wrong has been said.
var errUsage = errors.New("see above")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := command{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	err := c.run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		c.logf("error: %v", err)
		os.Exit(1)
	}
}

// command is one run of the program.
type command struct {
	stdout, stderr io.Writer
	getenv         func(string) string
}

func (c command) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stderr, format+"\n", args...)
}

func (c command) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		_, _ = io.WriteString(c.stderr, usage)
		return errUsage
	}
	verb, rest := args[0], args[1:]
	switch verb {
	case "up":
		return c.up(ctx, rest)
	case "down":
		return c.down(ctx, rest)
	case "status":
		return c.status(rest)
	case "build":
		return c.build(ctx, rest)
	case "assets":
		return c.assets(ctx, rest)
	case "help", "-h", "--help":
		_, _ = io.WriteString(c.stdout, usage)
		return nil
	}
	_, _ = fmt.Fprintf(c.stderr, "unknown verb %q\n%s", verb, usage)
	return errUsage
}

func (c command) up(ctx context.Context, args []string) error {
	flags := c.flags("up")
	name, dir := clusterFlags(flags)
	nodes := flags.Int("nodes", 3, "how many fake nodes")
	if err := parse(flags, args); err != nil {
		return err
	}
	path, err := clusterDir(*name, *dir)
	if err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	programs, err := store.Ensure(ctx, binaries.All())
	if err != nil {
		return err
	}
	kubeconfig, err := cluster.Up(ctx, cluster.Options{
		Name: *name, Dir: path, Nodes: *nodes, Binaries: programs, Logf: c.logf,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, kubeconfig)
	return err
}

func (c command) down(ctx context.Context, args []string) error {
	flags := c.flags("down")
	name, dir := clusterFlags(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	path, err := clusterDir(*name, *dir)
	if err != nil {
		return err
	}
	err = cluster.Down(ctx, *name, path, c.logf)
	if errors.Is(err, cluster.ErrUnknown) {
		c.logf("no cluster %s in %s", *name, path)
		return nil
	}
	if err == nil {
		c.logf("%s is gone", *name)
	}
	return err
}

func (c command) status(args []string) error {
	flags := c.flags("status")
	dir := flags.String("dir", ".cluster", "the folder above the folders of the clusters")
	if err := parse(flags, args); err != nil {
		return err
	}
	list, err := cluster.List(*dir, time.Now())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.stdout, "no clusters")
		return err
	}
	const padding = 2
	table := tabwriter.NewWriter(c.stdout, 0, 0, padding, ' ', 0)
	for _, s := range list {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\tpids %s\tage %s\n", s.Name, s.Condition, s.Server, joined(s.PIDs), s.Age)
	}
	return table.Flush()
}

func (c command) build(ctx context.Context, args []string) error {
	if err := parse(c.flags("build"), args); err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	if _, err := store.Ensure(ctx, binaries.All()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, store.Dir())
	return err
}

func (c command) assets(ctx context.Context, args []string) error {
	if err := parse(c.flags("assets"), args); err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	dir, err := store.EnvtestDir(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, dir)
	return err
}

func (c command) store() (*binaries.Store, error) {
	source, err := binaries.NewSource(goMod, goSum)
	if err != nil {
		return nil, err
	}
	root, err := binaries.DefaultRoot()
	if err != nil {
		return nil, err
	}
	return &binaries.Store{Root: root, Assets: c.getenv("KUBEBUILDER_ASSETS"), Source: source, Logf: c.logf}, nil
}

func (c command) flags(verb string) *flag.FlagSet {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(c.stderr)
	return flags
}

func clusterFlags(flags *flag.FlagSet) (name, dir *string) {
	return flags.String("name", "", "the name of the cluster"), flags.String("dir", "", "the folder of the cluster")
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}

// clusterDir checks the two flags that name a cluster.
func clusterDir(name, dir string) (string, error) {
	if name == "" || dir == "" {
		return "", errors.New("--name and --dir are needed")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(nameRunes, r) }) {
		return "", fmt.Errorf("name %q: only lower-case letters, digits and hyphens", name)
	}
	return filepath.Abs(dir)
}

const nameRunes = "abcdefghijklmnopqrstuvwxyz0123456789-"

func joined(pids []int) string {
	if len(pids) == 0 {
		return "-"
	}
	parts := make([]string, len(pids))
	for i, pid := range pids {
		parts[i] = strconv.Itoa(pid)
	}
	return strings.Join(parts, ",")
}
