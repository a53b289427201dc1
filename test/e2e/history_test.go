package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// Somebody force-pushes. Nothing of it runs, until a person does what the message of the track says.
func TestForcePush(t *testing.T) {
	s := tell(t)
	base := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(base)
	old := s.commit(shop("2"))
	s.live(old)
	rewritten := s.commit(shop("3"), gitserver.Parents(s.release(base).Spec.Source.Commit))

	stalled := s.trackUntil("shop", "HistoryRewritten", func(t *v1alpha1.ReleaseTrack) bool {
		return isTrue(t.Status.Conditions, v1alpha1.HistoryRewrittenCondition) && isTrue(t.Status.Conditions, v1alpha1.StalledCondition)
	})
	s.stays(2*time.Second, func() error {
		s.Expect(s.kubectl("get", "irel", "-o", "name")).NotTo(gomega.ContainSubstring(rewritten))
		s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(old))
		return nil
	})
	message := condition(stalled.Status.Conditions, v1alpha1.HistoryRewrittenCondition).Message
	command := regexp.MustCompile(`kubectl -n (\S+) (annotate rtrack [^;]*);`).FindStringSubmatch(message)
	s.Expect(command).To(gomega.HaveLen(3), message)
	s.Expect(command[1]).To(gomega.Equal(s.ns))
	s.Expect(s.refused(strings.Fields(strings.ReplaceAll(command[2], "<your user name>", "somebody-else"))...)).To(gomega.ContainSubstring("stele.dev/actor"))
	me := strings.TrimSpace(s.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"))
	s.kubectl(strings.Fields(strings.ReplaceAll(command[2], "<your user name>", me))...)

	r := s.live(rewritten)
	s.Expect(r.Spec.Findings).To(gomega.ContainElement(gomega.HaveField("Reason", v1alpha1.GitHistoryRewrittenReason)))
	s.retired(old)
	s.Expect(s.kubectl("get", "events")).To(gomega.ContainSubstring("HistoryRewritten"))
	s.Expect(condition(s.track("shop").Status.Conditions, v1alpha1.HistoryRewrittenCondition).Type).To(gomega.BeEmpty())
	checkServed(t, s.ns, "web")
}
