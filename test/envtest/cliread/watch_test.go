package cliread

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// follower is the plugin with -w.
type follower struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	// said are the lines so far.
	said   []string
	stderr bytes.Buffer
}

func follow(t *testing.T, args ...string) *follower {
	t.Helper()
	f := &follower{t: t, cmd: command(context.WithoutCancel(t.Context()), suite.admin, args...), lines: make(chan string, 100)}
	stdout, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.cmd.Stderr = &f.stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.cmd.Process.Kill() })
	go func() {
		defer close(f.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			f.lines <- scanner.Text()
		}
	}()
	return f
}

// until a line with all these words comes.
func (f *follower) until(words ...string) string {
	f.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				f.t.Fatalf("it ended, after\n%s\n%s", strings.Join(f.said, "\n"), f.stderr.String())
			}
			if strings.IndexFunc(line, dangerous) >= 0 || strings.Contains(line, canary) {
				f.t.Errorf("%q", line)
			}
			f.said = append(f.said, line)
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return line
			}
		case <-timeout:
			f.t.Fatalf("no line with %q, but\n%s\n%s", words, strings.Join(f.said, "\n"), f.stderr.String())
		}
	}
}

// interrupt is Ctrl-C: it ends at once, and that is no error.
func (f *follower) interrupt() {
	f.t.Helper()
	if err := f.cmd.Process.Signal(os.Interrupt); err != nil {
		f.t.Fatal(err)
	}
	for line := range f.lines {
		f.said = append(f.said, line)
	}
	if err := f.cmd.Wait(); err != nil {
		f.t.Errorf("%v: %s", err, f.stderr.String())
	}
	if text := f.stderr.String(); text != "" {
		f.t.Errorf("it says %s", text)
	}
}

// Each change that people care for is one line, and what does not change is not said again.
func TestFollow(t *testing.T) {
	ns := newNamespace(t, "follow")
	track := makeTrack(t, ns, "shop", runs("shop-1111111111"))
	makeTrack(t, ns, "other", runs("other-1111111111"))
	makeRelease(t, ns, "shop", 1, active)
	status, one, releases, objects := follow(t, "status", "-w", "-n", ns), follow(t, "status", "shop", "-w", "-n", ns, "--no-headers"),
		follow(t, "releases", "shop", "--watch", "-n", ns), follow(t, "releases", "shop", "-w", "-o", "json", "-n", ns)
	status.until("TIME", "NAME", "STATUS", "MESSAGE")
	status.until("other", "Ready")
	status.until("shop", "Ready", "shop-1111111111", "3/3")
	one.until("shop", "Ready")
	releases.until("shop-1111111111", "Active", "3/3")
	objects.until(`"kind": "ImmutableRelease"`)
	second := makeRelease(t, ns, "shop", 2, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Status.Phase, r.Status.ActiveRun, r.Status.Replicas.Ready = v1alpha1.PhaseStaging, 0, 1
		r.Status.Conditions = []metav1.Condition{condition("Healthy", false, "Progressing", "Deployment web: 1 of 3 "+evil)}
	})
	for _, f := range []*follower{status, one} {
		f.until("shop", "shop-2222222222 Staging")
	}
	releases.until("shop-2222222222", "Staging", "1/3", "Deployment web: 1 of 3")
	objects.until(`"phase": "Staging"`)
	// A change that nobody cares for says nothing; the next one is seen.
	changeStatus(t, second, func(r *v1alpha1.ImmutableRelease) { r.Status.Restart = "again" })
	changeStatus(t, second, func(r *v1alpha1.ImmutableRelease) { r.Status.Replicas.Ready = 3 })
	releases.until("shop-2222222222", "Staging", "3/3")
	changeStatus(t, second, func(r *v1alpha1.ImmutableRelease) {
		r.Status.Phase, r.Status.ActiveRun, r.Status.Conditions = v1alpha1.PhaseActive, 1, nil
	})
	changeStatus(t, track, func(tr *v1alpha1.ReleaseTrack) { tr.Status.ActiveRelease = "shop-2222222222" })
	releases.until("shop-2222222222", "Active")
	objects.until(`"phase": "Active"`)
	for _, f := range []*follower{status, one} {
		f.until("shop", "Ready", "shop-2222222222", "3/3")
	}
	if err := suite.api.Delete(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	releases.until("shop-2222222222", "Deleted")
	if err := suite.api.Delete(t.Context(), track); err != nil {
		t.Fatal(err)
	}
	one.until("shop", "Deleted")
	for _, f := range []*follower{status, one, releases, objects} {
		f.interrupt()
	}
	seen := map[string]bool{}
	for _, line := range releases.said {
		if words := strings.Join(strings.Fields(line)[1:], " "); seen[words] {
			t.Errorf("said twice: %s\n%s", line, strings.Join(releases.said, "\n"))
		} else {
			seen[words] = true
		}
	}
	for _, line := range one.said {
		if strings.Contains(line, "other") || strings.Contains(line, "TIME") {
			t.Errorf("it was not asked for: %s", line)
		}
	}
}
