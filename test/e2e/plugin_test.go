package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// plugin is built once, when the first story uses it; its folder is put into PATH, where kubectl finds it.
var plugin struct {
	sync.Once
	folder string
	err    error
}

// said is what a command of the plugin wrote, and how it ended.
type said struct {
	out, errOut string
	code        int
}

// onCall and engineer are people with the roles that users bind; their names must not get into what others read.
const (
	onCall   = "oncall-zq7canary@example.eu"
	engineer = "engineer-zq7canary@example.eu"
)

// people binds the roles of the on-call and of the application engineer in the story's namespace.
func (s *story) people() {
	s.Helper()
	for user, role := range map[string]string{viewer: "view", onCall: "stele-oncall", purger: "stele-purge", engineer: "edit"} {
		s.must(suite.client.Create(s.ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: role + "-people"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
		}))
	}
}

// stele runs "kubectl stele ..." in the story's namespace, through kubectl, as somebody.
func (s *story) stele(user string, args ...string) said {
	s.Helper()
	return s.steleWith(suite.cluster.Kubeconfig, user, args...)
}

func (s *story) steleWith(kubeconfig, user string, args ...string) said {
	s.Helper()
	cmd, end := s.plugin(kubeconfig, user, args...)
	s.must(cmd.Start())
	return end()
}

// begins is stele that goes on beside the story; what it returns waits for its end, after a signal if there is one.
func (s *story) begins(user string, args ...string) func(...os.Signal) said {
	s.Helper()
	cmd, end := s.plugin(suite.cluster.Kubeconfig, user, args...)
	s.must(cmd.Start())
	return func(signals ...os.Signal) said {
		s.Helper()
		for _, sig := range signals {
			s.must(cmd.Process.Signal(sig))
		}
		return end()
	}
}

// plugin makes a command, and what waits for it and judges what it has said.
func (s *story) plugin(kubeconfig, user string, args ...string) (*exec.Cmd, func() said) {
	s.Helper()
	plugin.Do(func() {
		plugin.folder = filepath.Join(suite.dir, "plugin")
		plugin.err = errors.Join(os.MkdirAll(plugin.folder, 0o755), testkit.BuildPlugin(s.ctx, plugin.folder))
	})
	s.must(plugin.err)
	cmd := exec.CommandContext(s.ctx, filepath.Join(suite.cluster.Dir, "bin", "kubectl"), append(append([]string{"stele"}, args...), "-n", s.ns, "--as", user)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+plugin.folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	return cmd, func() said {
		s.Helper()
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			s.Fatal(err)
		}
		answer := said{out: out.String(), errOut: errOut.String(), code: cmd.ProcessState.ExitCode()}
		s.Logf("kubectl stele %s: %d\n%s%s", strings.Join(args, " "), answer.code, answer.out, answer.errOut)
		// RBAC itself names who asks, and asks for nobody else.
		if own := strings.ReplaceAll(answer.out+answer.errOut, `User "`+user+`"`, ""); strings.Contains(own, "canary") {
			s.Errorf("the plugin says what nobody asked it for:\n%s", own)
		}
		return answer
	}
}

// succeeds is stele, where it has to work.
func (s *story) succeeds(user string, args ...string) string {
	s.Helper()
	answer := s.stele(user, args...)
	s.Expect(answer.code).To(gomega.Equal(0), answer.errOut)
	s.Expect(answer.errOut).To(gomega.BeEmpty())
	return answer.out
}

// marked are in who commits, and in what they write.
var marked = []gitserver.CommitOption{gitserver.Author("Zq7canary Person", "author-zq7canary@example.eu"), gitserver.Message("zq7canary is the reason")}

// TestOnCallAtNight is the story that the plugin is made for: Git is down, and what runs is bad.
func TestOnCallAtNight(t *testing.T) {
	s := tell(t)
	s.ownGit()
	s.people()
	first := s.commit(shop("1"), marked...)
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"), marked...)
	s.live(second)
	s.retired(first)
	s.git.Stop()

	out := s.succeeds(onCall, "rollback", "shop")
	s.Expect(out).To(gomega.MatchRegexp(`(?s)back from %s .* to %s .*%s takes the traffic.*no pod of another release is left.*kubectl stele resume shop -n %s`, second, first, first, s.ns))
	track := s.track("shop")
	s.Expect(track.Spec.Pin).To(gomega.Equal(first))
	s.Expect(track.Status.ActiveRelease).To(gomega.Equal(first), "it returns when it is done")
	s.Expect(s.release(second).Status.Phase).To(gomega.Equal(v1alpha1.PhaseRetired))
	s.Expect(s.podsOf(second)).To(gomega.BeEmpty())

	// A colleague who comes late changes nothing, and goes back no further.
	out = s.succeeds(engineer, "rollback", "shop")
	s.Expect(out).To(gomega.And(gomega.ContainSubstring("pinned to "+first), gomega.ContainSubstring("Nothing was changed")))
	s.Expect(s.track("shop").Generation).To(gomega.Equal(track.Generation))

	// Git is back, with another commit; it waits. A tool that syncs the track from Git does not take the pin away.
	third := s.commit(shop("3"))
	s.must(s.git.Start())
	s.reaches(third, v1alpha1.PhasePending)
	s.syncs("shop")
	s.stays(2*time.Second, func() error {
		s.Expect(s.track("shop").Spec.Pin).To(gomega.Equal(first))
		s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))
		return nil
	})

	out = s.succeeds(onCall, "resume", "shop")
	s.Expect(out).To(gomega.MatchRegexp(`(?s)let go of %s.*next is %s.*%s .*takes the traffic`, first, third, third))
	s.live(third)
	s.retired(first)
	checkServed(t, s.ns, "web")
}

// syncs applies the manifest of a track as a GitOps tool does: all that it holds, with force, and nothing that it leaves out.
func (s *story) syncs(name string) {
	s.Helper()
	t := s.track(name)
	t.Spec.Pin, t.Spec.Promote, t.Spec.Rejected = "", "", nil
	manifest, err := json.Marshal(map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": v1alpha1.ReleaseTrackKind,
		"metadata": map[string]any{"namespace": s.ns, "name": name}, "spec": t.Spec})
	s.must(err)
	_, err = suite.cluster.KubectlInput(s.ctx, string(manifest), "apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-")
	s.must(err)
}

func TestPluginPromotes(t *testing.T) {
	s := tell(t)
	s.people()
	first := s.commit(shop("1"))
	s.makeTrack("shop", rollout(func(r *v1alpha1.Rollout) { r.Promotion = v1alpha1.PromotionManual }))
	s.reaches(first, v1alpha1.PhaseStandby)
	s.Expect(s.succeeds(onCall, "promote", "shop")).To(gomega.ContainSubstring(first + " "))
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))
	second := s.commit(shop("2"))
	s.reaches(second, v1alpha1.PhaseStandby)
	answer := s.stele(onCall, "promote", "shop", "-o", "name", "--wait=false")
	s.Expect(answer.out).To(gomega.Equal("releasetrack.stele.dev/shop\n"), "what people read is beside what programs do")
	s.Expect(answer.errOut).To(gomega.ContainSubstring(second))
	s.live(second)
	s.Expect(s.stele(onCall, "promote", "shop").code).To(gomega.Equal(3), "nothing waits for a promotion")
	s.Expect(s.succeeds(onCall, "promote", "shop", "--to", strings.TrimPrefix(first, "shop-")[:8])).To(gomega.ContainSubstring(first))
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))
	checkServed(t, s.ns, "web")
}

func TestPluginRejectsRestartsAndSuspends(t *testing.T) {
	s := tell(t)
	s.people()
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)

	// What runs is rejected by the beginning of its commit, and gives way.
	out := s.succeeds(onCall, "reject", strings.TrimPrefix(second, "shop-"))
	s.Expect(out).To(gomega.MatchRegexp(`(?s)%s runs now and gives way to %s.*%s .*takes the traffic`, second, first, first))
	s.Expect(s.track("shop").Spec.Rejected).To(gomega.ConsistOf(s.release(second).Spec.Source.Commit))
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))

	// Another run of what runs. The on-call may not, and is told whom to ask.
	refused := s.stele(onCall, "restart", "shop")
	s.Expect(refused.code).To(gomega.Equal(3))
	s.Expect(refused.errOut).To(gomega.ContainSubstring("stele-edit"))
	run := s.release(first).Status.Run
	s.Expect(s.succeeds(engineer, "restart", "shop")).To(gomega.MatchRegexp(`(?s)run %s .*again.*No pod of an earlier run is left`, first))
	s.Expect(s.release(first).Status.ActiveRun).To(gomega.Equal(run + 1))
	s.Expect(s.podsOf(first)).To(gomega.HaveLen(2))

	// Suspended, a track sees no commit and is not asked to; resumed and asked, it does.
	s.Expect(s.stele(onCall, "suspend", "shop").code).To(gomega.Equal(3))
	s.succeeds(engineer, "suspend", "shop")
	third := s.commit(shop("3"))
	s.Expect(s.stele(engineer, "reconcile", "shop").code).To(gomega.Equal(3))
	s.succeeds(engineer, "resume", "shop")
	s.Expect(s.succeeds(engineer, "reconcile", "shop")).To(gomega.ContainSubstring(third))
	s.live(third)

	// Nothing comes back in time: said, with another exit code, and what was asked for stays.
	fourth := s.commit(shop("4", pods(readyAfter, "10m")))
	s.reaches(fourth, v1alpha1.PhaseStaging)
	late := s.stele(onCall, "rollback", "shop", "--to", fourth, "--timeout", "2s")
	s.Expect(late.code).To(gomega.Equal(4), late.errOut)
	s.Expect(late.errOut).To(gomega.And(gomega.ContainSubstring("The pin stays"), gomega.ContainSubstring("kubectl stele resume shop")))
	s.Expect(s.track("shop").Spec.Pin).To(gomega.Equal(fourth))
	checkServed(t, s.ns, "web")
}
