package releasetrack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/signing"
)

// signedWorld is a repository, a track that follows it and asks for signatures, and what a reconcile does of the way from one to the other.
type signedWorld struct {
	*testing.T
	repo   *gitserver.Repo
	track  *v1alpha1.ReleaseTrack
	r      *Reconciler
	memory *memory
	n      int
	// unchanged: the last look found nothing to do.
	unchanged bool
}

func newSignedWorld(t *testing.T, verify v1alpha1.SourceVerification, signers ...signing.Signer) *signedWorld {
	t.Helper()
	url, repo := newGit(t)
	verify.SecretRef.Name = "signers"
	track := newTrack(func(track *v1alpha1.ReleaseTrack) {
		track.Spec.Source.URL, track.Spec.Source.Verify = url, &verify
	})
	w := &signedWorld{T: t, repo: repo, track: track, memory: &memory{}}
	w.r = newReconciler(t, track, w.secret(signers...))
	return w
}

func (w *signedWorld) secret(signers ...signing.Signer) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "signers"}, Data: signing.Secret(signers...)}
}

// keys replaces the keys.
func (w *signedWorld) keys(signers ...signing.Signer) {
	w.Helper()
	if err := w.r.Client.Update(w.Context(), w.secret(signers...)); err != nil {
		w.Fatal(err)
	}
}

// commit changes the path; a signer of nil signs nothing.
func (w *signedWorld) commit(s signing.Signer, options ...gitserver.CommitOption) string {
	w.Helper()
	w.n++
	if s != nil {
		options = append(options, gitserver.SignedBy(func(raw []byte) ([]byte, error) { return signing.Commit(raw, s) }))
	}
	files := map[string]string{"deploy/a.yaml": fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {count: \"%d\"}\n", w.n)}
	id, err := w.repo.Commit(files, append(options, gitserver.Author("Canary Author", "canary.author@example.invalid"), gitserver.Message("canary message"))...)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *signedWorld) tag(name, commit string, s signing.Signer) {
	w.Helper()
	if _, err := w.repo.SignedTag(name, commit, "canary text", func(raw []byte) ([]byte, error) { return signing.Tag(raw, s) }); err != nil {
		w.Fatal(err)
	}
}

// look looks once and takes in what was found. It returns the releases by sequence.
func (w *signedWorld) look() []*v1alpha1.ImmutableRelease {
	w.Helper()
	s := newScopeOf(w.track, slices.Collect(maps.Values(releasesIn(w.T, w.r.Client)))...)
	s.memory = w.memory.of(client.ObjectKeyFromObject(w.track), w.track.UID)
	req := w.r.request(s)
	if err := errors.Join(w.r.readCredentials(w.Context(), s, &req), w.r.readSigners(w.Context(), s, &req)); err != nil {
		w.Fatal(err)
	}
	req.fresh = true
	found, err := w.r.Git.look(w.Context(), req)
	if err != nil {
		w.Fatal(err)
	}
	w.unchanged = found.unchanged
	if err := w.r.ingest(w.Context(), s, &look{request: req, found: found}); err != nil {
		w.Fatal(err)
	}
	describeVerified(s, func(kind string, ok bool, reason, message string) {
		release.SetCondition(&w.track.Status.Conditions, 1, kind, ok, reason, message)
	})
	w.noCanaries()
	list := slices.Collect(maps.Values(releasesIn(w.T, w.r.Client)))
	slices.SortFunc(list, func(a, b *v1alpha1.ImmutableRelease) int { return int(a.Spec.Sequence - b.Spec.Sequence) })
	return list
}

// noCanaries searches all that is stored for names, addresses and comments of keys and commits.
func (w *signedWorld) noCanaries() {
	w.Helper()
	for _, r := range releasesIn(w.T, w.r.Client) {
		if text := fmt.Sprintf("%+v %v", r.Spec, w.track.Status); strings.Contains(strings.ToLower(text), "canary") {
			w.Errorf("personal data in %s", text)
		}
	}
}

// judged checks what became of the newest commit: reason "" means that it passed. The second look finds nothing to do.
func (w *signedWorld) judged(commit, reason string, words ...string) *v1alpha1.ImmutableRelease {
	w.Helper()
	list := w.look()
	if len(list) == 0 {
		w.Fatal("no release")
	}
	var head *v1alpha1.ImmutableRelease
	for _, r := range list {
		if r.Name == w.track.Status.HeadRelease {
			head = r
		}
	}
	if head == nil || head.Spec.Source.Commit != commit {
		w.Fatalf("the head is %v, want the release of %s", head, commit)
	}
	condition := apimeta.FindStatusCondition(w.track.Status.Conditions, v1alpha1.SourceVerifiedCondition)
	if condition == nil {
		w.Fatal("no condition")
	}
	if reason == "" {
		if head.Spec.Refusal != nil || head.Spec.Verification == nil || head.Spec.Digest == "" || release.UnverifiedBy(head) != "" || condition.Status != metav1.ConditionTrue {
			w.Errorf("refused: %+v, verification %+v, condition %+v", head.Spec.Refusal, head.Spec.Verification, condition)
		}
	} else {
		switch {
		case head.Spec.Refusal == nil || head.Spec.Refusal.Reason != reason:
			w.Fatalf("refusal %+v, want %s", head.Spec.Refusal, reason)
		case head.Spec.Digest != "" || head.Spec.Source.ContentDigest != "" || head.Spec.Objects != nil || head.Spec.Verification != nil:
			w.Errorf("something of an unverified commit was read: %+v", head.Spec)
		case len(head.Spec.Findings) != 1 || head.Spec.Findings[0].Gate != "source-verified" || head.Spec.Findings[0].Fix == "":
			w.Errorf("findings %+v", head.Spec.Findings)
		case condition.Status != metav1.ConditionFalse || condition.Reason != reason:
			w.Errorf("condition %+v", condition)
		}
		for _, word := range words {
			if !strings.Contains(head.Spec.Refusal.Message, word) {
				w.Errorf("%q is not in %q", word, head.Spec.Refusal.Message)
			}
		}
	}
	if again := w.look(); !w.unchanged || len(again) != len(list) {
		w.Errorf("a settled world is looked at anew: %d releases, then %d", len(list), len(again))
	}
	return head
}

var longAgo = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func newPGP(t *testing.T) *signing.PGP {
	t.Helper()
	p, err := signing.NewPGP("Canary Signer", "canary.signer@example.invalid", longAgo, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Time = longAgo.Add(time.Hour)
	return p
}

func newSSH(t *testing.T) *signing.SSH {
	t.Helper()
	s, err := signing.NewSSH("canary.ssh@example.invalid")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func head() v1alpha1.SourceVerification {
	return v1alpha1.SourceVerification{Mode: v1alpha1.VerifyHEAD}
}

func mode(m v1alpha1.VerificationMode) v1alpha1.SourceVerification {
	return v1alpha1.SourceVerification{Mode: m}
}

func required() v1alpha1.SourceVerification {
	return v1alpha1.SourceVerification{Mode: v1alpha1.VerifyHEAD, Ancestors: v1alpha1.AncestorsRequire}
}

// Every commit is judged by the keys of that moment; a refused one is judged again when the keys change, and one that passed never.
func TestVerifyHEAD(t *testing.T) {
	pgp, ssh := newPGP(t), newSSH(t)
	w := newSignedWorld(t, head(), pgp)
	c1 := w.commit(pgp)
	r1 := w.judged(c1, "")
	want := v1alpha1.ReleaseVerification{Mode: v1alpha1.VerifyHEAD, KeyFingerprint: pgp.Fingerprint(), VerifiedAt: metav1.NewTime(present)}
	if !r1.Spec.Verification.VerifiedAt.Equal(&want.VerifiedAt) || r1.Spec.Verification.KeyFingerprint != want.KeyFingerprint || r1.Spec.Verification.Mode != want.Mode {
		t.Errorf("got %+v, want %+v", r1.Spec.Verification, want)
	}
	c2 := w.commit(nil)
	w.judged(c2, v1alpha1.SignatureMissingReason, "commit "+c2, "git commit -S")
	c3 := w.commit(ssh)
	refused := w.judged(c3, v1alpha1.SignerUnknownReason, ssh.Fingerprint())

	w.keys(pgp, ssh)
	passed := w.judged(c3, "")
	if passed.Name == refused.Name || passed.Spec.Sequence != refused.Spec.Sequence+1 {
		t.Errorf("judged again: %s after %s", passed.Name, refused.Name)
	}
	if n := len(releasesIn(t, w.r.Client)); n != 4 {
		t.Errorf("%d releases, want one of each of the first two commits, and two of the third", n)
	}
	// A rotation of keys changes nothing for what passed.
	w.keys(newSSH(t))
	if w.look(); !w.unchanged {
		t.Error("a commit that passed is looked at again with other keys")
	}
	// Nor does it when a person points the branch back to it. An earlier commit that was refused stays refused, and gets no further release.
	c4 := w.commit(nil)
	w.judged(c4, v1alpha1.SignatureMissingReason)
	if err := w.repo.Branch("main", c3); err != nil {
		t.Fatal(err)
	}
	w.track.Status.ObservedRevision = "" // accepted
	if head := w.judged(c3, ""); head.Name != passed.Name {
		t.Errorf("the head is %s, want %s", head.Name, passed.Name)
	}
}

// Which settings make a refused commit be looked at again.
func TestJudgedAgain(t *testing.T) {
	pgp, ssh := newPGP(t), newSSH(t)
	for name, change := range map[string]func(w *signedWorld){
		"keys":      func(w *signedWorld) { w.keys(pgp, ssh) },
		"ancestors": func(w *signedWorld) { w.track.Spec.Source.Verify.Ancestors = v1alpha1.AncestorsRequire },
		"signers":   func(w *signedWorld) { w.track.Spec.Source.Verify.Signers = []string{pgp.Fingerprint()} },
		"mode":      func(w *signedWorld) { w.track.Spec.Source.Verify.Mode = v1alpha1.VerifyTag },
		"no check":  func(w *signedWorld) { w.track.Spec.Source.Verify = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSignedWorld(t, head(), pgp)
			c := w.commit(newSSH(t))
			w.judged(c, v1alpha1.SignerUnknownReason)
			change(w)
			list := w.look()
			if w.unchanged || len(list) != 2 || list[1].Spec.Source.Commit != c || w.track.Status.HeadRelease != list[1].Name {
				t.Fatalf("unchanged %v, %d releases, head %s", w.unchanged, len(list), w.track.Status.HeadRelease)
			}
			if name == "no check" && (list[1].Spec.Refusal != nil || list[1].Spec.Verification != nil) {
				t.Errorf("nobody asks for signatures: %+v", list[1].Spec)
			}
			for range 2 {
				if again := w.look(); !w.unchanged || len(again) != 2 {
					t.Errorf("does not settle: %d releases", len(again))
				}
			}
		})
	}
	t.Run("comments and order", func(t *testing.T) {
		w := newSignedWorld(t, head(), pgp, ssh)
		w.judged(w.commit(nil), v1alpha1.SignatureMissingReason)
		secret := w.secret()
		secret.Data = map[string][]byte{"all.asc": append([]byte("Keys of the shop\n"), pgp.Public()...), "x.sshpub": append([]byte("# ssh\n"), ssh.Public()...)}
		if err := w.r.Client.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if w.look(); !w.unchanged {
			t.Error("the same keys, written otherwise, make another release")
		}
	})
	t.Run("back to the first keys", func(t *testing.T) {
		w := newSignedWorld(t, head(), pgp)
		c := w.commit(newSSH(t))
		first := w.judged(c, v1alpha1.SignerUnknownReason)
		w.keys(ssh)
		w.judged(c, v1alpha1.SignerUnknownReason)
		w.keys(pgp)
		if head := w.judged(c, v1alpha1.SignerUnknownReason); head.Name != first.Name {
			t.Errorf("the head is %s, want %s, which was judged so before", head.Name, first.Name)
		}
	})
}

// Commits of one push get their outcome: the newest is judged, the older ones were passed over, and nobody takes them for released.
func TestVerifyOneOfAPush(t *testing.T) {
	pgp := newPGP(t)
	w := newSignedWorld(t, head(), pgp)
	w.judged(w.commit(pgp), "")
	old := w.commit(nil)
	w.judged(w.commit(pgp), "")
	list := releasesIn(t, w.r.Client)
	if len(list) != 3 || list[2].Spec.Source.Commit != old || list[2].Spec.Refusal != nil || list[2].Spec.Verification != nil || release.UnverifiedBy(list[2]) != "" {
		t.Errorf("%+v", list[2].Spec)
	}
	// The branch is pointed to the one that was passed over: now it has to answer.
	if err := w.repo.Branch("main", old); err != nil {
		t.Fatal(err)
	}
	w.track.Status.ObservedRevision = ""
	w.judged(old, v1alpha1.SignatureMissingReason)
}

// What was released before anybody asked for signatures stays; a branch that is pointed to it does not make it run again without one.
func TestVerifySwitchedOn(t *testing.T) {
	pgp := newPGP(t)
	w := newSignedWorld(t, head(), pgp)
	verify := w.track.Spec.Source.Verify
	w.track.Spec.Source.Verify = nil
	first := w.commit(nil)
	if w.look(); apimeta.FindStatusCondition(w.track.Status.Conditions, v1alpha1.SourceVerifiedCondition) != nil {
		t.Error("a condition, and nobody asks for signatures")
	}
	w.track.Spec.Source.Verify = verify
	if list := w.look(); !w.unchanged || len(list) != 1 {
		t.Errorf("%d releases", len(list))
	}
	c := apimeta.FindStatusCondition(w.track.Status.Conditions, v1alpha1.SourceVerifiedCondition)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.NotCheckedReason {
		t.Errorf("%+v", c)
	}
	w.judged(w.commit(pgp), "")
	if err := w.repo.Branch("main", first); err != nil {
		t.Fatal(err)
	}
	w.track.Status.ObservedRevision = ""
	w.judged(first, v1alpha1.SignatureMissingReason)
	// A check in another mode than the one that is asked for is none.
	w.judged(w.commit(pgp), "")
	w.track.Spec.Source.Verify.Mode = v1alpha1.VerifyTagAndHEAD
	w.look()
	if c := apimeta.FindStatusCondition(w.track.Status.Conditions, v1alpha1.SourceVerifiedCondition); c == nil || c.Reason != v1alpha1.NotCheckedReason {
		t.Errorf("%+v", c)
	}
}

func TestVerifyTags(t *testing.T) {
	pgp, ssh, other := newPGP(t), newSSH(t), newSSH(t)
	follow := func(w *signedWorld, ref v1alpha1.GitRef) { w.track.Spec.Source.Ref = ref }
	for name, tc := range map[string]struct {
		mode v1alpha1.VerificationMode
		ref  v1alpha1.GitRef
		by   signing.Signer
		// tag makes the tag v1.
		tag         func(w *signedWorld, commit string)
		reason      string
		key, tagKey string
	}{
		"tag":                      {v1alpha1.VerifyTag, v1alpha1.GitRef{Tag: "v1"}, nil, func(w *signedWorld, c string) { w.tag("v1", c, pgp) }, "", pgp.Fingerprint(), ""},
		"tag by SSH":               {v1alpha1.VerifyTag, v1alpha1.GitRef{Tag: "v1"}, nil, func(w *signedWorld, c string) { w.tag("v1", c, ssh) }, "", ssh.Fingerprint(), ""},
		"by its full name":         {v1alpha1.VerifyTag, v1alpha1.GitRef{Name: "refs/tags/v1"}, nil, func(w *signedWorld, c string) { w.tag("v1", c, pgp) }, "", pgp.Fingerprint(), ""},
		"by version":               {v1alpha1.VerifyTag, v1alpha1.GitRef{SemVer: "1.x"}, nil, func(w *signedWorld, c string) { w.tag("v1", c, pgp) }, "", pgp.Fingerprint(), ""},
		"both":                     {v1alpha1.VerifyTagAndHEAD, v1alpha1.GitRef{Tag: "v1"}, ssh, func(w *signedWorld, c string) { w.tag("v1", c, pgp) }, "", ssh.Fingerprint(), pgp.Fingerprint()},
		"both, commit without":     {v1alpha1.VerifyTagAndHEAD, v1alpha1.GitRef{Tag: "v1"}, nil, func(w *signedWorld, c string) { w.tag("v1", c, pgp) }, v1alpha1.SignatureMissingReason, "", ""},
		"both, tag by another key": {v1alpha1.VerifyTagAndHEAD, v1alpha1.GitRef{Tag: "v1"}, ssh, func(w *signedWorld, c string) { w.tag("v1", c, other) }, v1alpha1.SignerUnknownReason, "", ""},
		"commit only":              {v1alpha1.VerifyHEAD, v1alpha1.GitRef{Tag: "v1"}, ssh, func(w *signedWorld, c string) { w.lightweight("v1", c) }, "", ssh.Fingerprint(), ""},
		"lightweight":              {v1alpha1.VerifyTag, v1alpha1.GitRef{Tag: "v1"}, ssh, func(w *signedWorld, c string) { w.lightweight("v1", c) }, v1alpha1.SignatureMissingReason, "", ""},
		"not signed": {v1alpha1.VerifyTag, v1alpha1.GitRef{Tag: "v1"}, ssh, func(w *signedWorld, c string) {
			if _, err := w.repo.AnnotatedTag("v1", c, "canary"); err != nil {
				w.Fatal(err)
			}
		}, v1alpha1.SignatureMissingReason, "", ""},
		"signed as v2": {v1alpha1.VerifyTag, v1alpha1.GitRef{Tag: "v1"}, nil, func(w *signedWorld, c string) {
			w.tag("v2", c, pgp)
			w.alias("v2", "v1")
		}, v1alpha1.TagMismatchReason, "", ""},
		"of a tag": {v1alpha1.VerifyTag, v1alpha1.GitRef{Tag: "v1"}, nil, func(w *signedWorld, c string) {
			w.tag("v2", c, pgp)
			inner, err := w.repo.Git("rev-parse", "refs/tags/v2")
			if err != nil {
				w.Fatal(err)
			}
			raw := fmt.Sprintf("object %s\ntype tag\ntag v1\ntagger T <t@example.invalid> 1767225600 +0000\n\nx\n", inner)
			signed, err := signing.Tag([]byte(raw), pgp)
			if err != nil {
				w.Fatal(err)
			}
			outer, err := w.repo.Write("tag", signed)
			if err == nil {
				err = w.repo.SetRef("refs/tags/v1", outer)
			}
			if err != nil {
				w.Fatal(err)
			}
		}, v1alpha1.TagMismatchReason, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSignedWorld(t, mode(tc.mode), pgp, ssh)
			follow(w, tc.ref)
			c := w.commit(tc.by)
			tc.tag(w, c)
			r := w.judged(c, tc.reason)
			if v := r.Spec.Verification; v != nil && (v.KeyFingerprint != tc.key || v.TagKeyFingerprint != tc.tagKey || v.Mode != tc.mode) {
				t.Errorf("%+v", v)
			}
		})
	}
	t.Run("mended", func(t *testing.T) {
		w := newSignedWorld(t, mode(v1alpha1.VerifyTag), pgp)
		follow(w, v1alpha1.GitRef{Tag: "v1"})
		c := w.commit(nil)
		w.lightweight("v1", c)
		w.judged(c, v1alpha1.SignatureMissingReason, "git tag -s")
		w.tag("v1", c, pgp)
		w.judged(c, "")
	})
	t.Run("the commit before the tagged one changed the path", func(t *testing.T) {
		w := newSignedWorld(t, mode(v1alpha1.VerifyTag), pgp)
		follow(w, v1alpha1.GitRef{Tag: "v1"})
		c := w.commit(nil)
		later, err := w.repo.Commit(map[string]string{"README.md": "x"})
		if err != nil {
			t.Fatal(err)
		}
		w.tag("v1", later, pgp)
		w.judged(c, "")
	})
}

// Whoever may push tags, and has no key, leads none of them back to a commit that passed before: not by its signed tag under another name,
// and not without a signature.
func TestVerifyTagsThatLeadBack(t *testing.T) {
	pgp, stranger := newPGP(t), newSSH(t)
	for name, tc := range map[string]struct {
		ref    v1alpha1.GitRef
		lead   func(w *signedWorld, first string)
		reason string
	}{
		"under a higher version": {v1alpha1.GitRef{SemVer: ">=1"}, func(w *signedWorld, _ string) { w.alias("v1.0.0", "v3.0.0") }, v1alpha1.TagMismatchReason},
		"without a signature":    {v1alpha1.GitRef{SemVer: ">=1"}, func(w *signedWorld, c string) { w.lightweight("v3.0.0", c) }, v1alpha1.SignatureMissingReason},
		"signed by a stranger":   {v1alpha1.GitRef{SemVer: ">=1"}, func(w *signedWorld, c string) { w.tag("v3.0.0", c, stranger) }, v1alpha1.SignerUnknownReason},
		"the same tag, moved":    {v1alpha1.GitRef{Tag: "v2.0.0"}, func(w *signedWorld, c string) { w.lightweight("v2.0.0", c) }, v1alpha1.SignatureMissingReason},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSignedWorld(t, mode(v1alpha1.VerifyTag), pgp)
			w.track.Spec.Source.Ref = v1alpha1.GitRef{Tag: "v1.0.0"}
			first := w.commit(nil)
			w.tag("v1.0.0", first, pgp)
			w.judged(first, "")
			w.track.Spec.Source.Ref = tc.ref
			second := w.commit(nil)
			w.tag("v2.0.0", second, pgp)
			w.judged(second, "")
			tc.lead(w, first)
			w.judged(first, tc.reason)
			w.keys(pgp, newSSH(t)) // another question, the same answer
			w.judged(first, tc.reason)
			w.track.Spec.Source.Ref = v1alpha1.GitRef{Tag: "v1.0.0"}
			if r := w.judged(first, ""); r.Spec.Sequence != 1 {
				t.Errorf("the tag that was signed does not lead back to the release that there is, but to %s", r.Name)
			}
		})
	}
}

// A tag that was refused under a wrong name is judged anew under its own.
func TestVerifyTagThatWasRenamed(t *testing.T) {
	pgp := newPGP(t)
	w := newSignedWorld(t, mode(v1alpha1.VerifyTag), pgp)
	w.track.Spec.Source.Ref = v1alpha1.GitRef{SemVer: ">=1"}
	c := w.commit(nil)
	w.tag("v1.0.0", c, pgp)
	w.alias("v1.0.0", "v3.0.0")
	w.judged(c, v1alpha1.TagMismatchReason)
	if err := w.repo.DeleteRef("refs/tags/v3.0.0"); err != nil {
		t.Fatal(err)
	}
	w.judged(c, "")
}

// alias makes another name for the object of a tag.
func (w *signedWorld) alias(name, other string) {
	w.Helper()
	id, err := w.repo.Git("rev-parse", "refs/tags/"+name)
	if err == nil {
		err = w.repo.SetRef("refs/tags/"+other, id)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w *signedWorld) lightweight(name, commit string) {
	w.Helper()
	if err := w.repo.Tag(name, commit); err != nil {
		w.Fatal(err)
	}
}

// With ancestors: Require each commit since the last released one needs a signature.
func TestVerifyAncestors(t *testing.T) {
	pgp, ssh := newPGP(t), newSSH(t)
	elsewhere := func(w *signedWorld, s signing.Signer, options ...gitserver.CommitOption) string {
		if s != nil {
			options = append(options, gitserver.SignedBy(func(raw []byte) ([]byte, error) { return signing.Commit(raw, s) }))
		}
		w.n++
		id, err := w.repo.Commit(map[string]string{fmt.Sprintf("other/%d", w.n): "x"}, options...)
		if err != nil {
			w.Fatal(err)
		}
		return id
	}
	refused := v1alpha1.AncestorNotVerifiedReason
	for name, tc := range map[string]struct {
		// commits makes commits after a first that was released, and returns the newest and the one that is to blame.
		commits func(w *signedWorld, first string) (newest, blamed string)
		count   int32
	}{
		"the next": {func(w *signedWorld, _ string) (string, string) { return w.commit(pgp), "" }, 0},
		"all are signed": {func(w *signedWorld, _ string) (string, string) {
			w.commit(ssh)
			w.commit(pgp)
			return w.commit(ssh), ""
		}, 2},
		"one is not": {func(w *signedWorld, _ string) (string, string) {
			bad := w.commit(nil)
			w.commit(pgp)
			return w.commit(pgp), bad
		}, 0},
		"another key": {func(w *signedWorld, _ string) (string, string) {
			bad := w.commit(newSSH(w.T))
			return w.commit(pgp), bad
		}, 0},
		"not of the path": {func(w *signedWorld, _ string) (string, string) { bad := elsewhere(w, nil); return w.commit(pgp), bad }, 0},
		"merged": {func(w *signedWorld, first string) (string, string) {
			bad := elsewhere(w, nil, gitserver.OnBranch("side"), gitserver.Parents(first))
			tip := elsewhere(w, pgp, gitserver.OnBranch("side"))
			return w.commit(pgp, gitserver.Parents(first, tip)), bad
		}, 0},
		"merged, all signed": {func(w *signedWorld, first string) (string, string) {
			elsewhere(w, ssh, gitserver.OnBranch("side"), gitserver.Parents(first))
			tip := elsewhere(w, pgp, gitserver.OnBranch("side"))
			return w.commit(pgp, gitserver.Parents(first, tip)), ""
		}, 2},
		"rewritten": {func(w *signedWorld, _ string) (string, string) {
			bad := w.commit(nil, gitserver.Orphan())
			w.track.Status.ObservedRevision = ""
			return w.commit(pgp), bad
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSignedWorld(t, required(), pgp, ssh)
			// Before the first release nothing but the commit itself is looked at.
			w.commit(nil)
			first := w.commit(pgp)
			w.judged(first, "")
			newest, blamed := tc.commits(w, first)
			if blamed != "" {
				w.judged(newest, refused, blamed, "ancestors: Ignore")
				// The next one does not help: what was passed over or refused counts as released for nobody.
				w.judged(w.commit(pgp), refused, blamed)
				w.track.Spec.Source.Verify.Ancestors = v1alpha1.AncestorsIgnore
				w.judged(w.commit(pgp), "")
				w.track.Spec.Source.Verify.Ancestors = v1alpha1.AncestorsRequire
				w.judged(w.commit(pgp), "")
				return
			}
			if r := w.judged(newest, ""); r.Spec.Verification.Ancestors != tc.count {
				t.Errorf("%d ancestors were checked, want %d", r.Spec.Verification.Ancestors, tc.count)
			}
		})
	}
	t.Run("Ignore", func(t *testing.T) {
		w := newSignedWorld(t, head(), pgp)
		w.judged(w.commit(pgp), "")
		w.commit(nil)
		w.judged(w.commit(pgp), "")
	})
}

// A cache that is behind does not make ancestors go unchecked.
func TestBaseBehindTheCache(t *testing.T) {
	pgp := newPGP(t)
	w := newSignedWorld(t, required(), pgp)
	first := w.commit(pgp)
	w.judged(first, "")
	s := newScopeOf(w.track) // sees no release
	req := w.r.request(s)
	if err := w.r.readSigners(t.Context(), s, &req); err != nil || req.verify.base != first {
		t.Errorf("base %q, %v", req.verify.base, err)
	}
}

// What is wrong with the Secret is a failure of the source, and no commit is refused for it.
func TestSignersSecret(t *testing.T) {
	pgp := newPGP(t)
	w := newSignedWorld(t, head(), pgp)
	read := func() error {
		s := newScopeOf(w.track)
		req := w.r.request(s)
		return w.r.readSigners(t.Context(), s, &req)
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*corev1.Secret)
		words  []string
	}{
		"empty":       {func(s *corev1.Secret) { s.Data = nil }, []string{"spec.source.verify.secretRef", "Secret signers", "empty"}},
		"other entry": {func(s *corev1.Secret) { s.Data = map[string][]byte{"key": []byte("canary")} }, []string{`entry "key"`, ".asc", ".sshpub"}},
		"malformed":   {func(s *corev1.Secret) { s.Data = map[string][]byte{"a.sshpub": []byte("\ncanary\n")} }, []string{`entry "a.sshpub"`, "line 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			secret := w.secret(pgp)
			tc.change(secret)
			if err := w.r.Client.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			err := read()
			if err == nil || sourceReason(err) != v1alpha1.GitSecretReason || strings.Contains(err.Error(), "canary") {
				t.Fatalf("%v", err)
			}
			for _, word := range tc.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in %q", word, err)
				}
			}
		})
	}
	if err := w.r.Client.Delete(t.Context(), w.secret()); err != nil {
		t.Fatal(err)
	}
	if err := read(); err == nil || sourceReason(err) != v1alpha1.GitSecretReason || !strings.Contains(err.Error(), "spec.source.verify.secretRef: Secret signers does not exist") {
		t.Errorf("%v", err)
	}
	// What was checked once needs no keys: neither to read a lost release again, nor where nobody asks.
	s := newScopeOf(w.track)
	if _, err := w.r.recallRequest(t.Context(), s, nil); err != nil {
		t.Errorf("a release is read again: %v", err)
	}
	w.track.Spec.Source.Verify = nil
	if err := read(); err != nil {
		t.Error(err)
	}
}

// An annotated tag that stays is not looked at anew at every interval.
func TestAnnotatedTagSettles(t *testing.T) {
	w := newSignedWorld(t, head())
	w.track.Spec.Source.Verify = nil
	w.track.Spec.Source.Ref = v1alpha1.GitRef{Tag: "v1"}
	c := w.commit(nil)
	if _, err := w.repo.AnnotatedTag("v1", c, "canary"); err != nil {
		t.Fatal(err)
	}
	if w.look(); w.unchanged {
		t.Fatal("nothing was found")
	}
	if w.look(); !w.unchanged {
		t.Error("the same tag is fetched and rendered again")
	}
}

// Raw bytes decide, and they are those that were fetched: a tree that is not the one that was read is refused.
func TestSignedForAnotherTree(t *testing.T) {
	pgp := newPGP(t)
	w := newSignedWorld(t, head(), pgp)
	c := w.commit(pgp)
	w.judged(c, "")
	s := newScopeOf(w.track)
	req := w.r.request(s)
	if err := errors.Join(w.r.readCredentials(t.Context(), s, &req), w.r.readSigners(t.Context(), s, &req)); err != nil {
		t.Fatal(err)
	}
	repo, err := w.r.Git.store.Open(req.remote)
	if err != nil {
		t.Fatal(err)
	}
	_, refusal, err := req.verify.check(t.Context(), repo, gitsource.Revision{Ref: "main", Commit: c}, gitsource.Meta{Commit: c, TreeHash: commitID("9")}, present)
	if err != nil || refusal == nil || refusal.Reason != v1alpha1.SignatureInvalidReason {
		t.Errorf("%+v, %v", refusal, err)
	}
	_, _, err = req.verify.check(t.Context(), repo, gitsource.Revision{Ref: "main", Commit: c}, gitsource.Meta{Commit: commitID("9"), TreeHash: commitID("9")}, present)
	if err == nil {
		t.Error("a commit that is not there is no error")
	}
}
