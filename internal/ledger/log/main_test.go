package log

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// TestMain is also the main of the processes that are killed: see child.
func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	role := os.Getenv("LOG_TEST_ROLE")
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role, os.Getenv("LOG_TEST_DIR")); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// play is one life of a writer. It numbers entries by the size of the log, and says how far it has come.
func play(role, dir string) error {
	signer, err := note.NewSigner(os.Getenv("LOG_TEST_KEY"))
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(os.Getenv("LOG_TEST_PUBLIC"))
	if err != nil {
		return err
	}
	count, _ := strconv.Atoi(os.Getenv("LOG_TEST_COUNT"))
	switch role {
	case "killed": // at a step
		failpoint = func(step string) {
			if step == os.Getenv("LOG_TEST_STEP") {
				if count--; count < 0 {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			}
		}
	case "robbed": // of its volume, where it cannot notice before
		failpoint = func(step string) {
			if step == "append" {
				_ = os.Rename(dir, dir+".gone")
			}
		}
	}
	ctx := context.Background()
	l, err := Open(ctx, dir, Keys{Signers: []note.Signer{signer}, Verifiers: []note.Verifier{verifier}}, nil, ignore)
	if err != nil {
		return err
	}
	if role == "full" { // like a volume: no file gets longer than this
		signal.Ignore(syscall.SIGXFSZ)
		limit := unix.Rlimit{Cur: 2000, Max: unix.RLIM_INFINITY}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	for i := 0; ; i++ {
		at := int(l.Checkpoint().Size)
		fmt.Println(at)
		if role == "hold" {
			_, _ = io.ReadAll(os.Stdin)
			return l.Close()
		}
		if _, err := l.Append(ctx, entriesOf(at, at+1+i%7*40)); err != nil {
			return err
		}
	}
}
