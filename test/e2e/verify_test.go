package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/signing"
)

// keyholders are what public keys say of people. It comes out nowhere.
var keyholders = map[string]string{
	"name in a key":    "Canary Featherstonehaugh",
	"e-mail in a key":  "canary.featherstonehaugh@mail.example",
	"comment of a key": "canary-laptop-31d9",
}

func signedBy(s signing.Signer) gitserver.CommitOption {
	return gitserver.SignedBy(func(raw []byte) ([]byte, error) { return signing.Commit(raw, s) })
}

// A signed commit runs. One without a signature is Rejected while the old one serves; so is one by a key that somebody forgot, until it is
// in the Secret. When the Secret is gone, nothing new runs, and a rollback works all the same.
func TestSignedCommits(t *testing.T) {
	s := tell(t)
	pgp, err := signing.NewPGP(keyholders["name in a key"], keyholders["e-mail in a key"], time.Now().Add(-time.Hour), 0)
	s.must(err)
	ssh, err := signing.NewSSH(keyholders["comment of a key"])
	s.must(err)
	s.makeSecret("signers", signing.Secret(pgp))
	first := s.commit(shop("1"), signedBy(pgp))
	s.makeTrack("shop", func(t *v1alpha1.ReleaseTrack) {
		t.Spec.Source.Verify = &v1alpha1.SourceVerification{SecretRef: v1alpha1.LocalObjectReference{Name: "signers"}}
	})
	s.live(first)
	s.Expect(s.row(s.kubectl("get", "irel", "-o", "wide"), first)).To(gomega.HaveKeyWithValue("SIGNER", pgp.Fingerprint()))

	bare := s.commit(shop("2"))
	s.reaches(bare, v1alpha1.PhaseRejected)
	s.trackUntil("shop", "no signature", func(t *v1alpha1.ReleaseTrack) bool { // written after the release
		return condition(t.Status.Conditions, v1alpha1.SourceVerifiedCondition).Reason == v1alpha1.SignatureMissingReason
	})
	forgotten := s.commit(shop("3"), signedBy(ssh))
	refused := s.reaches(forgotten, v1alpha1.PhaseRejected)
	s.Expect(refused.Spec.Refusal.Reason).To(gomega.Equal(v1alpha1.SignerUnknownReason))
	s.Expect(refused.Spec.Digest).To(gomega.BeEmpty(), "nothing of it was read")
	s.Expect(s.track("shop").Status.ActiveRelease).To(gomega.Equal(first))
	checkServed(t, s.ns, "web")

	s.must(suite.client.Update(s.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "signers"}, Data: signing.Secret(pgp, ssh)}))
	track := s.trackUntil("shop", "the commit with the forgotten key live", func(t *v1alpha1.ReleaseTrack) bool {
		return t.Status.ActiveRelease != first && isTrue(t.Status.Conditions, v1alpha1.SourceVerifiedCondition)
	})
	second := track.Status.ActiveRelease
	s.Expect(s.release(second).Spec.Source.Commit).To(gomega.Equal(refused.Spec.Source.Commit))
	s.live(second)
	s.retired(first)
	wide := s.kubectl("get", "irel", "-o", "wide")
	s.Expect(s.row(wide, second)).To(gomega.HaveKeyWithValue("SIGNER", ssh.Fingerprint()))

	s.kubectl("delete", "secret", "signers")
	s.trackUntil("shop", "SourceFetched=False", func(t *v1alpha1.ReleaseTrack) bool {
		return condition(t.Status.Conditions, v1alpha1.SourceFetchedCondition).Reason == v1alpha1.GitSecretReason
	})
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, first))
	back := s.live(first)
	s.Expect(back.Status.Run).To(gomega.BeEquivalentTo(2))
	s.Expect(back.Spec.Verification.KeyFingerprint).To(gomega.Equal(pgp.Fingerprint()))
	s.retired(second)
	checkServed(t, s.ns, "web")
	s.nowhere(keyholders)
}
