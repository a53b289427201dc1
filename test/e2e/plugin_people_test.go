package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

const (
	viewer  = "viewer-zq7canary@example.eu"
	purger  = "purger-zq7canary@example.eu"
	officer = "officer-zq7canary@example.eu"
)

// TestPluginPeople has every command asked for by everybody, with the cluster's own check and without a change.
func TestPluginPeople(t *testing.T) {
	s := tell(t)
	s.people()
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.retired(first)
	s.kubectl("patch", "rtrack", "shop", "--type=merge", "-p", `{"spec":{"rollout":{"promotion":"Manual"}}}`)
	third := s.commit(shop("3"))
	s.reaches(third, v1alpha1.PhaseStandby)
	s.trackUntil("shop", "all of it observed", func(t *v1alpha1.ReleaseTrack) bool { return t.Status.ObservedGeneration == t.Generation })
	was := s.track("shop")

	const may, mayNot = 0, 3
	for _, tc := range []struct {
		args                             []string
		viewer, onCall, purger, engineer int
		// says is in what those read who may; asks is in what those read who may not.
		says, asks string
	}{
		{[]string{"rollback", "shop"}, mayNot, may, mayNot, may, "back from " + second, "stele-oncall"},
		{[]string{"rollback", "shop", "--to", third}, mayNot, may, mayNot, may, "to the newer " + third, "stele-oncall"},
		{[]string{"promote", "shop"}, mayNot, may, mayNot, may, third, "stele-oncall"},
		{[]string{"reject", strings.TrimPrefix(second, "shop-")}, mayNot, may, mayNot, may, "gives way to " + first, "stele-oncall"},
		{[]string{"restart", "rtrack/shop"}, mayNot, mayNot, mayNot, may, second, "stele-edit"},
		{[]string{"reconcile", "shop"}, mayNot, mayNot, mayNot, may, "look at", "stele-edit"},
		{[]string{"suspend", "shop"}, mayNot, mayNot, mayNot, may, "stop following", "stele-edit"},
		{[]string{"purge", first}, mayNot, mayNot, may, mayNot, "delete the archive of " + first, "stele-purge"},
	} {
		for user, code := range map[string]int{viewer: tc.viewer, onCall: tc.onCall, purger: tc.purger, engineer: tc.engineer} {
			answer := s.stele(user, append(tc.args, "--dry-run=server")...)
			s.Expect(answer.code).To(gomega.Equal(code), "%s: %v: %s", user, tc.args, answer.errOut)
			if code == may {
				s.Expect(answer.out).To(gomega.And(gomega.ContainSubstring(tc.says), gomega.ContainSubstring("(server dry run)")))
			} else {
				s.Expect(answer.errOut).To(gomega.ContainSubstring(tc.asks))
			}
		}
	}
	s.Expect(s.track("shop").Generation).To(gomega.Equal(was.Generation), "nothing was changed")
	s.Expect(s.track("shop").Annotations).To(gomega.Equal(was.Annotations))
	s.wrongQuestions(second)
}

// wrongQuestions are answered with what to do, and other exit codes.
func (s *story) wrongQuestions(active string) {
	s.Helper()
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"rollback", "shpo"}, 1, "did you mean shop?"},
		{[]string{"rollback", "shop", "--to", "0123456789"}, 1, "Those that can run"},
		{[]string{"rollback", "shop", "--dry-run=maybe"}, 2, "none, client, server"},
		{[]string{"rollback", "shop", "--timeout=0s"}, 2, "--wait=false"},
		{[]string{"rollback"}, 2, "--help"},
		{[]string{"reject", strings.Repeat("f", 40)}, 2, "--track"},
		{[]string{"purge", active}, 3, "kubectl stele rollback shop"},
		{[]string{"audit", "erase"}, 2, "--actor"},
	} {
		answer := s.stele(engineer, tc.args...)
		s.Expect(answer.code).To(gomega.Equal(tc.code), "%v: %s", tc.args, answer.errOut)
		s.Expect(answer.errOut).To(gomega.ContainSubstring(tc.says))
	}
}

// TestPluginTwoPeopleAtOnce: what another has wished for since somebody looked is not overwritten; what nobody has wished for is no hindrance.
func TestPluginTwoPeopleAtOnce(t *testing.T) {
	s := tell(t)
	s.people()
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	third := s.commit(shop("3"))
	s.live(third)

	between := s.between(func() { s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, first)) })
	late := s.steleWith(between, onCall, "rollback", "shop", "--wait=false")
	s.Expect(late.code).To(gomega.Equal(3), late.errOut)
	s.Expect(late.errOut).To(gomega.And(gomega.ContainSubstring("somebody else has changed shop"), gomega.ContainSubstring("Now:    pin "+first)))
	s.Expect(s.track("shop").Spec.Pin).To(gomega.Equal(first))
	s.live(first)

	// A write of the operator, or a label, is no wish.
	between = s.between(func() { s.kubectl("label", "rtrack", "shop", "team=a") })
	again := s.steleWith(between, onCall, "rollback", "shop", "--to", second, "--wait=false")
	s.Expect(again.code).To(gomega.Equal(0), again.errOut)
	s.Expect(s.track("shop").Spec.Pin).To(gomega.Equal(second))
	s.Expect(s.ownerOf("pin")).To(gomega.Equal("stele-oncall"))

	// Two who reject two commits reject both.
	commits := []string{s.release(first).Spec.Source.Commit, s.release(third).Spec.Source.Commit}
	between = s.between(func() { s.patchTrack("shop", fmt.Sprintf(`{"spec":{"rejected":[%q]}}`, commits[0])) })
	both := s.steleWith(between, onCall, "reject", commits[1], "--wait=false")
	s.Expect(both.code).To(gomega.Equal(0), both.errOut)
	s.Expect(s.track("shop").Spec.Rejected).To(gomega.ConsistOf(commits))

	// While somebody waits, another takes the wish away.
	s.live(second)
	fourth := s.commit(shop("4", pods(readyAfter, "10m")))
	s.reaches(fourth, v1alpha1.PhasePending)
	waiting := s.begins(onCall, "rollback", "shop", "--to", fourth)
	s.reaches(fourth, v1alpha1.PhaseStaging)
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, second))
	told := waiting()
	s.Expect(told.code).To(gomega.Equal(3))
	s.Expect(told.errOut).To(gomega.ContainSubstring("somebody else has changed spec.pin meanwhile: it is " + second))
	s.live(second)

	// Ctrl-C ends the waiting, and not what was asked for.
	fifth := s.commit(shop("5", pods(readyAfter, "10m")))
	s.reaches(fifth, v1alpha1.PhasePending)
	interrupted := s.begins(onCall, "rollback", "shop", "--to", fifth)
	s.reaches(fifth, v1alpha1.PhaseStaging)
	answer := interrupted(syscall.SIGINT)
	s.Expect(answer.code).To(gomega.Equal(4))
	s.Expect(answer.errOut).To(gomega.And(gomega.ContainSubstring("interrupted. The pin stays"), gomega.ContainSubstring("kubectl stele resume shop")))
	s.Expect(s.track("shop").Spec.Pin).To(gomega.Equal(fifth))
}

// between makes a kubeconfig that leads to the cluster through a proxy, which does something before the first change of a track gets there.
func (s *story) between(act func()) string {
	s.Helper()
	target, err := url.Parse(suite.cluster.Config.Host)
	s.must(err)
	transport, err := rest.TransportFor(suite.cluster.Config)
	s.must(err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	once := sync.OnceFunc(act)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			once()
		}
		proxy.ServeHTTP(w, r)
	}))
	s.Cleanup(server.Close)
	file := filepath.Join(s.TempDir(), "kubeconfig")
	s.must(testkit.WriteKubeconfig(&rest.Config{Host: server.URL}, file))
	return file
}

// ownerOf is the field manager of a field of the track's spec.
func (s *story) ownerOf(field string) string {
	s.Helper()
	for _, m := range s.track("shop").ManagedFields {
		var fields map[string]map[string]any
		if m.FieldsV1 == nil || json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if _, ok := fields["f:spec"]["f:"+field]; ok {
			return m.Manager
		}
	}
	return ""
}

// TestPluginForgets: the archive of a release is purged, and who has asked for things is erased, by those who may.
func TestPluginForgets(t *testing.T) {
	s := tell(t)
	s.people()
	s.must(suite.client.Create(s.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.ns + "-privacy"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "stele-privacy"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: officer}},
	}))
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.retired(first)

	s.Expect(s.succeeds(purger, "purge", first)).To(gomega.And(gomega.ContainSubstring("deleted for good"), gomega.ContainSubstring("Git still holds")))
	s.Expect(s.release(first).Status.Purged.Done).NotTo(gomega.BeNil())
	s.Expect(s.succeeds(purger, "purge", first)).To(gomega.ContainSubstring("was purged already"))
	none := s.stele(onCall, "rollback", "shop")
	s.Expect(none.code).To(gomega.Equal(3), "there is nothing to go back to any more")
	s.Expect(s.stele(onCall, "rollback", "shop", "--to", first).errOut).To(gomega.ContainSubstring("was purged"))

	// Who purged is kept beside the ledger, until it is erased.
	kept := func() []string {
		return strings.Fields(s.kubectl("get", "secrets", "-n", testkit.OperatorNamespace, "-l", v1alpha1.ActorLabel+"="+v1alpha1.ActorOfEntry, "-o", "name"))
	}
	s.Eventually(func() int { return len(kept()) }).ShouldNot(gomega.BeZero())
	me := purger
	seen := s.stele(testkit.Administrator, "audit", "erase", "--actor", me, "--dry-run=client", "--as-group=system:masters")
	s.Expect(seen.code).To(gomega.Equal(0), seen.errOut)
	ids := idsIn(seen.out)
	s.Expect(ids).NotTo(gomega.BeEmpty())
	s.Expect(s.stele(officer, "audit", "erase", "--actor", me).code).To(gomega.Equal(3), "the officer may not read who acted")
	mayNot := s.stele(onCall, "audit", "erase", ids[0])
	s.Expect(mayNot.code).To(gomega.Equal(3))
	s.Expect(mayNot.errOut).To(gomega.ContainSubstring("stele-privacy"))
	s.Expect(s.succeeds(officer, append([]string{"audit", "erase"}, ids...)...)).To(gomega.ContainSubstring("Erased"))
	for _, id := range ids {
		s.Expect(kept()).NotTo(gomega.ContainElement("secret/actor-" + id))
	}
}

// idsIn finds ids of entries at the beginning of lines.
func idsIn(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if word, _, _ := strings.Cut(line, " "); len(word) == 32 {
			out = append(out, word)
		}
	}
	return out
}
