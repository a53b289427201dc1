package envtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/signing"
)

// signed signs a commit.
func signed(s signing.Signer) gitserver.CommitOption {
	return gitserver.SignedBy(func(raw []byte) ([]byte, error) { return signing.Commit(raw, s) })
}

// signers makes an OpenPGP and an SSH key, whose owners are canaries.
func signers(t *testing.T) (*signing.PGP, *signing.SSH) {
	t.Helper()
	pgp, err := signing.NewPGP("Canary Keyholder", "canary.keyholder@mail.example", time.Now().Add(-time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	ssh, err := signing.NewSSH("canary.keyholder@laptop.example")
	if err != nil {
		t.Fatal(err)
	}
	return pgp, ssh
}

// verifies makes the track ask for signatures by keys of the Secret "signers".
func (s *scene) verifies(keys ...signing.Signer) {
	s.Helper()
	create(s.T, s.secret("signers", signing.Secret(keys...)))
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Source.Verify = &v1alpha1.SourceVerification{SecretRef: v1alpha1.LocalObjectReference{Name: "signers"}}
	})
}

func (s *scene) keys(keys ...signing.Signer) {
	s.Helper()
	if err := suite.api.Update(s.Context(), s.secret("signers", signing.Secret(keys...))); err != nil {
		s.Fatal(err)
	}
}

// verified waits for what SourceVerified of the track says.
func (s *scene) verified(status metav1.ConditionStatus, reason string, words ...string) {
	s.Helper()
	untilCondition(s.T, trackConditions(s.ns, "shop"), v1alpha1.SourceVerifiedCondition, status, reason, words...)
}

// A commit runs when somebody signed it whom the track names; one that nobody did is Rejected while what runs goes on; a key that was
// forgotten is added, and the commit is looked at again; a key that is taken away changes nothing for what passed, and a rollback needs none.
func TestVerifiedCommits(t *testing.T) {
	t.Parallel()
	pgp, ssh := signers(t)
	s := newScene(t)
	s.verifies(pgp)
	s.verified(metav1.ConditionFalse, v1alpha1.NotCheckedReason, releaseOf("shop", s.first))

	who := []gitserver.CommitOption{gitserver.Author("Canary Keyholder", "canary.keyholder@mail.example"), gitserver.Message("canary message")}
	bare := s.commit(shop("web", "2"), who...)
	s.rejected(bare, v1alpha1.SignatureMissingReason, "git commit -S")
	s.verified(metav1.ConditionFalse, v1alpha1.SignatureMissingReason, bare)
	unknown := s.commit(shop("web", "3"), append(who, signed(ssh))...)
	s.rejected(unknown, v1alpha1.SignerUnknownReason, ssh.Fingerprint())
	s.untouched()
	s.quiet("a commit that is refused", releaseOf("shop", unknown))

	s.keys(pgp, ssh)
	var second string
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, s.ns, "shop")
		if second = track.Status.ActiveRelease; err == nil && !strings.HasPrefix(second, releaseOf("shop", unknown)+"-") {
			err = fmt.Errorf("%s is active", second)
		}
		return err
	})
	rel, err := getRelease(t.Context(), s.ns, second)
	if err != nil || rel.Spec.Verification == nil || rel.Spec.Verification.KeyFingerprint != ssh.Fingerprint() || rel.Spec.Verification.Mode != v1alpha1.VerifyHEAD ||
		time.Since(rel.Spec.Verification.VerifiedAt.Time) > time.Hour || release.UnverifiedBy(rel) != "" {
		t.Fatalf("%+v, %v", rel.Spec, err)
	}
	s.verified(metav1.ConditionTrue, v1alpha1.SucceededReason, ssh.Fingerprint())
	untilPhase(t, s.ns, releaseOf("shop", s.first), v1alpha1.PhaseRetired)
	if n := len(releasesOf(t, s.ns)); n != 4 {
		t.Errorf("%d releases, want those of three commits, and a second one of the last", n)
	}

	// Rotated, then gone: nothing new runs, what runs goes on, and a rollback asks nobody.
	s.keys(pgp)
	s.quiet("other keys", second)
	if err := suite.api.Delete(t.Context(), s.secret("signers", nil)); err != nil {
		t.Fatal(err)
	}
	s.sourceFails(v1alpha1.GitSecretReason, "spec.source.verify.secretRef", "Secret signers does not exist")
	s.verified(metav1.ConditionTrue, v1alpha1.SucceededReason, ssh.Fingerprint())
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = releaseOf("shop", s.first) })
	until(t, patience, func(ctx context.Context) error { return isLive(ctx, s.ns, "shop", s.first) })
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = "" })
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, s.ns, "shop")
		if err == nil && track.Status.ActiveRelease != second {
			err = fmt.Errorf("%s is active", track.Status.ActiveRelease)
		}
		return err
	})
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.Verify = nil })
	until(t, patience, func(ctx context.Context) error {
		conditions, err := trackConditions(s.ns, "shop")(ctx)
		if err == nil && strings.Contains(describe(conditions), v1alpha1.SourceVerifiedCondition) {
			err = fmt.Errorf("%s", describe(conditions))
		}
		return err
	})

	for where, list := range map[string]client.ObjectList{"tracks": &v1alpha1.ReleaseTrackList{}, "releases": &v1alpha1.ImmutableReleaseList{},
		"events": &eventsv1.EventList{}, "old events": &corev1.EventList{}} {
		if err := suite.api.List(t.Context(), list, client.InNamespace(s.ns)); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(list)
		if err != nil || !strings.Contains(string(text), "shop") || strings.Contains(strings.ToLower(string(text)), "canary") {
			t.Errorf("%s: nothing to look at, or personal data: %s, %v", where, text, err)
		}
	}
}

// A Secret with something else than keys fails the source and refuses no commit; mended, the commit that waited runs.
func TestKeysThatCannotBeRead(t *testing.T) {
	t.Parallel()
	pgp, _ := signers(t)
	s := newScene(t)
	create(t, s.secret("signers", map[string][]byte{"keys.txt": pgp.Public()}))
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Source.Verify = &v1alpha1.SourceVerification{SecretRef: v1alpha1.LocalObjectReference{Name: "signers"}}
	})
	next := s.commit(shop("web", "2"), signed(pgp))
	s.sourceFails(v1alpha1.GitSecretReason, "Secret signers", `entry "keys.txt"`, ".asc")
	s.untouched()
	if n := len(releasesOf(t, s.ns)); n != 1 {
		t.Errorf("%d releases", n)
	}
	s.keys(pgp)
	s.live(next)
	s.verified(metav1.ConditionTrue, v1alpha1.SucceededReason, pgp.Fingerprint())
}
