package envtest

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/render"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// A commit that is wrong in itself is Rejected with file, line, object and reason; the next commit mends it.
func TestBadCommit(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		files   map[string]string
		options []gitserver.CommitOption
		reason  string
		words   []string
	}{
		"broken YAML": {
			files:  map[string]string{"deploy/broken.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [broken\n"},
			reason: render.ReasonInvalidYAML, words: []string{"deploy/broken.yaml:4"},
		},
		"duplicate object": {
			files:  map[string]string{"deploy/again.yaml": configMap("web-config", "version: again")},
			reason: render.ReasonDuplicateObject, words: []string{"ConfigMap/web-config", "deploy/again.yaml", "deploy/config.yaml"},
		},
		"another namespace": {
			files: map[string]string{"deploy/foreign.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: foreign\n  namespace: kube-system\n" +
				"data: {}\n"},
			reason: render.ReasonForeignNamespace, words: []string{"deploy/foreign.yaml", "ConfigMap/foreign"},
		},
		"cluster-scoped kind": {
			files:  map[string]string{"deploy/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: mine\n"},
			reason: render.ReasonClusterScopedKind, words: []string{"deploy/ns.yaml", "Namespace/mine"},
		},
		"kind and its first object in one commit": {
			files: map[string]string{"deploy/widget.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: widgets.four.example\n" +
				"---\napiVersion: four.example/v1\nkind: Widget\nmetadata:\n  name: w\n"},
			reason: render.ReasonClusterScopedKind, words: []string{"deploy/widget.yaml:1", "CustomResourceDefinition/widgets.four.example", "platform engineer"},
		},
		"RBAC": {
			files: map[string]string{"deploy/role.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: me\n" +
				"rules: []\n"},
			reason: render.ReasonUnsupportedKind, words: []string{"Role/me", "may not grant rights"},
		},
		"release of its own": {
			files:  map[string]string{"deploy/rel.yaml": "apiVersion: stele.dev/v1alpha1\nkind: ImmutableRelease\nmetadata:\n  name: me\n"},
			reason: render.ReasonUnsupportedKind, words: []string{"ImmutableRelease/me"},
		},
		"object over the size limit": {
			files:  map[string]string{"deploy/big.yaml": configMap("big", "blob: "+strings.Repeat("x", 1<<20))},
			reason: render.ReasonLimitExceeded, words: []string{"big"},
		},
		"file over the size limit": {
			files:  map[string]string{"deploy/huge.yaml": configMap("huge", "blob: "+strings.Repeat("x", 3<<20))},
			reason: render.ReasonLimitExceeded, words: []string{"deploy/huge.yaml"},
		},
		"symbolic link": {
			files:   map[string]string{"deploy/link.yaml": "/var/run/secrets/kubernetes.io/serviceaccount/token"},
			options: []gitserver.CommitOption{gitserver.Symlink("deploy/link.yaml")},
			reason:  render.ReasonNotRegularFile, words: []string{"deploy/link.yaml"},
		},
		"submodule": {
			files:   map[string]string{"deploy/base": strings.Repeat("ab", 20), ".gitmodules": "[submodule \"base\"]\n\tpath = deploy/base\n\turl = https://git.example.test/base.git\n"},
			options: []gitserver.CommitOption{gitserver.Submodule("deploy/base")},
			reason:  render.ReasonNotRegularFile, words: []string{"deploy/base", "submodule", "copy what is needed into the repository"},
		},
		"submodule that a kustomization uses": {
			files: map[string]string{"vendor/base": strings.Repeat("ab", 20), "deploy/kustomization.yaml": "resources: [../vendor/base]\n",
				".gitmodules": "[submodule \"../../x\"]\n\tpath = vendor/base\n\turl = file:///etc\n"},
			options: []gitserver.CommitOption{gitserver.Submodule("vendor/base")},
			reason:  render.ReasonNotRegularFile, words: []string{"vendor/base", "submodule", "copy what is needed"},
		},
		"path that is gone": {
			files: map[string]string{"elsewhere/a.yaml": "a"}, options: []gitserver.CommitOption{gitserver.Delete("deploy")},
			reason: render.ReasonPathNotFound, words: []string{"deploy"},
		},
		"forged labels": {
			files: map[string]string{"deploy/forged.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: forged\n  labels:\n" +
				"    stele.dev/release: shop-0000000000\ndata: {}\n"},
			reason: render.ReasonForgedMetadata, words: []string{"ConfigMap/forged", "stele.dev/release"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			bad := s.commit(tc.files, tc.options...)
			s.rejected(bad, tc.reason, tc.words...)
			s.othersGoOn()
			s.untouched()
			var gone []string
			for path := range tc.files {
				gone = append(gone, path)
			}
			s.live(s.commit(shop("web", "2"), gitserver.Delete(gone...)))
			if rel, err := getRelease(t.Context(), s.ns, releaseOf("shop", bad)); err != nil || rel.Status.Phase != v1alpha1.PhaseRejected {
				t.Errorf("the bad commit's release is %s (%v) in the end", rel.Status.Phase, err)
			}
		})
	}
}

// A submodule that the path does not use is nobody's business, and .gitmodules is a file like any other.
func TestSubmoduleElsewhere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	files := shop("web", "2")
	files["vendor/base"], files[".gitmodules"] = strings.Repeat("ab", 20), "[submodule \"--upload-pack=x\"]\n\tpath = ../../x\n\turl = ext::sh -c id\n"
	files["deploy/.gitmodules"] = "not even this"
	s.live(s.commit(files, gitserver.Submodule("vendor/base")))
}

// Several commits in one push: each has its outcome, also those passed over on the way to a bad one.
func TestEveryCommitHasItsOutcome(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	// All of them come with one push.
	next := gitserver.OnBranch("next")
	passed := []string{commit(t, s.repo, shop("web", "2"), onBranch("next", s.first)...), commit(t, s.repo, map[string]string{"deploy/broken.yaml": "{"}, next)}
	commit(t, s.repo, map[string]string{"README.md": "does not concern the path"}, next)
	bad := commit(t, s.repo, map[string]string{"deploy/broken.yaml": "still: [broken"}, next)
	branch(t, s.repo, "main", bad)
	poke(t, s.ns, "shop")
	s.rejected(bad, render.ReasonInvalidYAML)
	for _, id := range passed {
		untilPhase(t, s.ns, releaseOf("shop", id), v1alpha1.PhaseSkipped)
	}
	s.untouched()
	if got := len(releasesOf(t, s.ns)); got != 4 {
		t.Errorf("%d releases, want one for each of the 4 commits that change the path", got)
	}
	last := s.commit(shop("web", "3"), gitserver.Delete("deploy/broken.yaml"))
	s.live(last)
	sequences := map[int64]string{}
	for _, rel := range releasesOf(t, s.ns) {
		if other := sequences[rel.Spec.Sequence]; other != "" {
			t.Errorf("%s and %s have sequence %d both", other, rel.Name, rel.Spec.Sequence)
		}
		sequences[rel.Spec.Sequence] = rel.Name
	}
	for i := int64(1); i <= 5; i++ {
		if sequences[i] == "" {
			t.Errorf("no release has sequence %d: %v", i, sequences)
		}
	}
}

// What Git and the conditions say never holds what a Secret holds.
func TestSecretsStayOutOfStatus(t *testing.T) {
	t.Parallel()
	const canary = "canary-3f9a2b"
	s := newScene(t)
	bad := s.commit(map[string]string{"deploy/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\nstringData:\n  password: " + canary +
		"\n  broken: [" + canary + "\n"})
	s.rejected(bad, render.ReasonInvalidYAML)
	track, err := getTrack(t.Context(), s.ns, "shop")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(track.Status)
	for _, rel := range releasesOf(t, s.ns) {
		text += fmt.Sprint(rel.Spec, rel.Status)
	}
	if strings.Contains(text, canary) {
		t.Errorf("the content of a Secret is in a status")
	}
	if c := conditionOf(t, s.ns, v1alpha1.StalledCondition); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("the track is not Stalled: %v", c)
	}
}
