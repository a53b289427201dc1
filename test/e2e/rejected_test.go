package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// A person rejects the commit that runs: the one before it is back from its archive, and the rejected one does not come again.
func TestRejectedCommit(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	bad := s.live(second).Spec.Source.Commit
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"rejected":[%q]}}`, bad))
	s.until(first, "its second run active", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun == 2 })
	s.retired(second)
	s.trackUntil("shop", "Ready", func(t *v1alpha1.ReleaseTrack) bool {
		return t.Status.ActiveRelease == first && isTrue(t.Status.Conditions, v1alpha1.ReadyCondition)
	})
	checkServed(t, s.ns, "web")
	s.stays(3*time.Second, func() error {
		s.Expect(s.release(second).Status.Run).To(gomega.BeEquivalentTo(1))
		return nil
	})
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, second))
	s.trackUntil("shop", "the pin refused", func(t *v1alpha1.ReleaseTrack) bool {
		return condition(t.Status.Conditions, v1alpha1.ReadyCondition).Reason == v1alpha1.InvalidPinReason
	})
	s.patchTrack("shop", `{"spec":{"pin":null}}`)
	third := s.commit(shop("3"))
	s.live(third)

	// Taken from the list, it can be pinned again.
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"rejected":null,"pin":%q}}`, second))
	s.until(second, "active again", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.ActiveRun == 2 })
}
