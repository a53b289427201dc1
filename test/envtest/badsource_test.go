package envtest

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// A source that cannot be read has its reason on SourceFetched and Ready; what runs goes on, other tracks too, and the track
// goes on by itself when the source is mended.
func TestBadSource(t *testing.T) {
	t.Parallel()
	locked, err := gitserver.New(t.TempDir(), gitserver.BasicAuth("reader", "correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(locked.Close)
	useSecret := func(s *scene, url string) {
		s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
			spec.Source.URL, spec.Source.SecretRef = url, &v1alpha1.LocalObjectReference{Name: "git"}
		})
	}
	// lockedRepo has the same history in a repository that asks for credentials.
	lockedRepo := func(s *scene) string {
		repo, err := locked.CreateRepo(s.ns)
		if err != nil {
			s.Fatal(err)
		}
		if id := commit(s.T, repo, shop("web", "1")); id != s.first {
			s.Fatal("histories differ")
		}
		return locked.HTTPURL(s.ns)
	}
	home := func(s *scene) {
		s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
			spec.Source.URL, spec.Source.Path, spec.Source.Ref = suite.git.HTTPURL(s.ns), "./deploy", v1alpha1.GitRef{Branch: "main"}
			spec.Source.SecretRef = nil
		})
	}
	cases := map[string]struct {
		bad    func(s *scene)
		reason string
		words  []string
		mend   func(s *scene)
		// elsewhere: mended, the track still follows another repository than s.repo.
		elsewhere func() *gitserver.Server
	}{
		"nobody listens": {
			bad: func(s *scene) {
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.URL = "http://127.0.0.1:1/shop.git" })
			},
			reason: v1alpha1.GitUnreachableReason, words: []string{"127.0.0.1:1", "connection refused"}, mend: home,
		},
		"no such repository": {
			bad: func(s *scene) {
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.URL = suite.git.HTTPURL("nowhere") })
			},
			reason: v1alpha1.GitRepositoryReason, words: []string{"check the URL"}, mend: home,
		},
		"URL that only Git's rules refuse": {
			bad: func(s *scene) {
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.URL = "https://exämple.test/shop.git" })
			},
			reason: v1alpha1.GitInvalidURLReason, words: []string{"xn--"}, mend: home,
		},
		"wrong credentials": {
			bad: func(s *scene) {
				create(s.T, s.secret("git", map[string][]byte{"username": []byte("reader"), "password": []byte("wrong")}))
				useSecret(s, lockedRepo(s))
			},
			reason: v1alpha1.GitAuthenticationReason,
			mend: func(s *scene) {
				if err := suite.api.Update(s.Context(), s.secret("git", locked.HTTPSecret())); err != nil {
					s.Fatal(err)
				}
			},
			elsewhere: func() *gitserver.Server { return locked },
		},
		"missing Secret": {
			bad:    func(s *scene) { useSecret(s, lockedRepo(s)) },
			reason: v1alpha1.GitSecretReason, words: []string{"Secret git does not exist in namespace"},
			mend:      func(s *scene) { create(s.T, s.secret("git", locked.HTTPSecret())) },
			elsewhere: func() *gitserver.Server { return locked },
		},
		"Secret without a key": {
			bad: func(s *scene) {
				create(s.T, s.secret("git", map[string][]byte{"username": []byte("reader")}))
				useSecret(s, lockedRepo(s))
			},
			reason: v1alpha1.GitSecretReason, words: []string{`"password"`},
			mend: func(s *scene) {
				if err := suite.api.Update(s.Context(), s.secret("git", locked.HTTPSecret())); err != nil {
					s.Fatal(err)
				}
			},
			elsewhere: func() *gitserver.Server { return locked },
		},
		"unknown host key": {
			bad: func(s *scene) {
				data := suite.git.SSHSecret()
				data["known_hosts"] = locked.KnownHosts()
				create(s.T, s.secret("git", data))
				useSecret(s, suite.git.SSHURL(s.ns))
			},
			reason: v1alpha1.GitHostKeyReason,
			mend: func(s *scene) {
				if err := suite.api.Update(s.Context(), s.secret("git", suite.git.SSHSecret())); err != nil {
					s.Fatal(err)
				}
			},
		},
		"missing branch": {
			bad: func(s *scene) {
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.Ref.Branch = "future" })
			},
			reason: v1alpha1.GitRefReason, words: []string{`branch "future"`},
			mend: func(s *scene) { home(s) },
		},
		"empty repository": {
			bad: func(s *scene) {
				newRepo(s.T, s.ns+"-empty")
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.URL = suite.git.HTTPURL(s.ns + "-empty") })
			},
			reason: v1alpha1.GitEmptyReason, mend: home,
		},
		"ref that no Git has": {
			bad: func(s *scene) {
				s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
					spec.Source.Ref = v1alpha1.GitRef{SemVer: "latest and greatest"}
				})
			},
			reason: v1alpha1.GitInvalidRefReason, words: []string{"range"}, mend: home,
		},
		"deleted branch": {
			bad: func(s *scene) {
				if err := s.repo.DeleteRef("refs/heads/main"); err != nil {
					s.Fatal(err)
				}
				commit(s.T, s.repo, shop("web", "1"), gitserver.OnBranch("other"))
				poke(s.T, s.ns, "shop")
			},
			reason: v1alpha1.GitRefReason, words: []string{`branch "main"`},
			mend: func(s *scene) {
				if err := s.repo.Branch("main", s.first); err != nil {
					s.Fatal(err)
				}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			tc.bad(s)
			s.sourceFails(tc.reason, tc.words...)
			s.othersGoOn()
			s.untouched()
			tc.mend(s)
			repo := s.repo
			if tc.elsewhere != nil {
				if repo, err = tc.elsewhere().Repo(s.ns); err != nil {
					t.Fatal(err)
				}
			}
			second := commit(t, repo, shop("web", "2"), gitserver.Parents(s.first))
			s.live(second)
			for _, rel := range releasesOf(t, s.ns) {
				if strings.Contains(rel.Spec.Source.URL, "correct horse") {
					t.Error("credentials are in a release")
				}
			}
		})
	}
}

// The path of a new track that does not exist is said on the track: there is no release to say it on.
func TestMissingPathOfNewTrack(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	id := commit(t, newRepo(t, ns), shop("web", "1"))
	startOperator(t, operatorOptions{}, ns)
	track := newTrack(ns, "shop", ns)
	track.Spec.Source.Path = "./production"
	create(t, track)
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.SourceFetchedCondition, metav1.ConditionFalse, v1alpha1.GitPathReason, "production")
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.GitPathReason, "production")
	if got := releasesOf(t, ns); len(got) != 0 {
		t.Errorf("%d releases were made", len(got))
	}
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Source.Path = "./deploy" })
	untilLive(t, ns, "shop", id)
}
