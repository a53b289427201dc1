package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/test/testkit"
)

// attacker is somebody who tries to change what runs, with kubectl.
type attacker struct {
	name string
	args []string
	env  []string
	// mighty: RBAC refuses this one nothing, so the policies have to.
	mighty bool
}

// attackers are who the policies are about: none of them is a stranger to the cluster.
func (s *story) attackers() []attacker {
	s.Helper()
	meta := metav1.ObjectMeta{Namespace: s.ns, Name: "tenant"}
	s.must(suite.client.Create(s.ctx, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: s.ns + "-tenant"}}}))
	return []attacker{
		{name: "cluster administrator", mighty: true},
		{name: "administrator who impersonates the operator", args: []string{"--as=" + testkit.OperatorUser, "--as-group=system:masters"}, mighty: true},
		{name: "tenant with the role admin", args: []string{"--as=" + s.ns + "-tenant"}},
		{name: "who holds a token of the operator that is bound to no pod", env: []string{"KUBECONFIG=" + s.bareToken()}},
	}
}

// bareToken writes a kubeconfig with a token of the operator's account that belongs to no pod.
func (s *story) bareToken() string {
	s.Helper()
	config, err := suite.cluster.BareOperatorConfig(s.ctx)
	s.must(err)
	path := filepath.Join(s.TempDir(), "bare.kubeconfig")
	s.must(testkit.WriteKubeconfig(config, path))
	return path
}

// attack is what somebody types, and what the answer must say.
type attack struct {
	name  string
	args  []string
	input string
	env   []string
	// policy that refuses it, by the name that its messages begin with (a regular expression); "" where the answer comes from elsewhere.
	policy string
	// about is what the message names: the release, the track, the object.
	about string
}

// wayOut is what every message offers.
var wayOut = regexp.MustCompile(`(?i)commit|git|pin |delete (the|its) track|delete the release|break-glass|stele:installers|kubectl auth whoami|ask for|change what it derives from|wait for`)

// attempt lets an attacker do it and returns what is wrong with the answer, "" if nothing.
func (s *story) attempt(by attacker, a attack) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	// One that gets through must not go on for ever, such as a port that is forwarded.
	args := append([]string{"-n", s.ns, "--request-timeout=10s"}, by.args...)
	if a.args[0] == "-n" {
		args = append([]string{"--request-timeout=10s"}, by.args...)
	}
	_, err := suite.cluster.KubectlWith(ctx, append(append([]string{"TMPDIR=" + s.TempDir()}, a.env...), by.env...), a.input, append(args, a.args...)...)
	switch {
	case err == nil:
		return "it was not refused"
	case a.policy == "":
		return ""
	}
	said := strings.Join(strings.Fields(err.Error()), " ")
	_, said, _ = strings.Cut(said, "exit status 1: ")
	if !regexp.MustCompile(a.policy + ": ").MatchString(said) {
		if !by.mighty && strings.Contains(said, "is forbidden: User") {
			return ""
		}
		return "not refused by " + a.policy + ": " + err.Error()
	}
	switch {
	case !strings.Contains(said, a.about):
		return "the answer does not name " + a.about + ": " + said
	case !wayOut.MatchString(said):
		return "the answer does not say what to do instead: " + said
	}
	return ""
}
