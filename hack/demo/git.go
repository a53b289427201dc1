package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const (
	gitProcess = "git"
	repository = "shop"
)

// served is what the Git server writes down once it answers.
type served struct {
	URL string `json:"url"`
}

// serve is the life of the Git server's process: it answers until it is asked to end. SIGUSR1 makes it deaf, as if the machine
// were off; SIGUSR2 makes it answer again, under the same address.
func serve(ctx context.Context, f files, args []string) error {
	if len(args) != 0 {
		return errUsage
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	server, err := gitserver.New(f.in("repositories"))
	if err != nil {
		return err
	}
	defer server.Close()
	if _, err := server.CreateRepo(repository); err != nil {
		return err
	}
	if err := writeJSON(f.in("served.json"), served{URL: server.HTTPURL(repository)}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if sig == syscall.SIGUSR1 {
				server.Stop()
			} else if err := server.Start(); err != nil {
				_, _ = fmt.Fprintln(os.Stderr, "start:", err)
			}
		}
	}
}

// gitServer is the server's process seen from outside.
type gitServer struct{ files files }

// start starts the process and returns the URL of the shop's repository.
func (g gitServer) start(ctx context.Context) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	// A copy, because the file that `go run` has built goes when the demo ends.
	program := g.files.in("demo")
	if err := copyProgram(self, program); err != nil {
		return "", err
	}
	p, err := launch(g.files, gitProcess, g.files.gitLog(), nil, program, "serve")
	if err != nil {
		return "", err
	}
	err = p.await(ctx, g.files.gitLog(), func(context.Context) error {
		_, err := g.url()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("start the Git server: %w", err)
	}
	return g.url()
}

func (g gitServer) url() (string, error) {
	var s served
	ok, err := readJSON(g.files.in("served.json"), &s)
	if err == nil && !ok {
		err = errors.New("the Git server of the demo does not run; start it with make demo")
	}
	return s.URL, err
}

// control makes the server stop or start answering, and waits until it does so.
func (g gitServer) control(ctx context.Context, verb string) error {
	sig, wanted := syscall.SIGUSR2, true
	switch verb {
	case "start":
	case "stop":
		sig, wanted = syscall.SIGUSR1, false
	default:
		return errUsage
	}
	address, err := g.url()
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	p, ok, err := recorded(g.files, gitProcess)
	if err != nil {
		return err
	}
	if !ok || !p.alive() {
		return errors.New("the Git server of the demo does not run; start it with make demo")
	}
	if answers(u.Host) == wanted {
		return nil
	}
	if err := p.signal(sig); err != nil {
		return err
	}
	return testkit.Eventually(ctx, 10*time.Second, func(context.Context) error {
		if answers(u.Host) != wanted {
			return fmt.Errorf("the Git server did not %s; see %s", verb, g.files.gitLog())
		}
		return nil
	})
}

func answers(host string) bool {
	c, err := net.DialTimeout("tcp", host, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// git runs git in the demo's clone, without anybody's configuration and with made-up names.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Demo", "GIT_AUTHOR_EMAIL=demo@example.invalid", "GIT_COMMITTER_NAME=Demo", "GIT_COMMITTER_EMAIL=demo@example.invalid",
		"no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
