package gitsource_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func TestRefs(t *testing.T) {
	for name, options := range map[string][]gitserver.Option{"version 2": nil, "version 0": {gitserver.ProtocolV0()}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options...)
			c1 := w.commit(map[string]string{"f": "1"})
			c2 := w.commit(map[string]string{"f": "2"})
			c3 := w.commit(map[string]string{"f": "3"})
			side := w.commit(map[string]string{"f": "4"}, gitserver.OnBranch("feature/x"), gitserver.Parents(c1))
			ok(t, w.repo.Branch("master", c1))
			ok(t, w.repo.Tag("v1.0.0", c1))
			a2, err := w.repo.AnnotatedTag("v1.10.0", c2, canaryMessage)
			ok(t, err)
			a3, err := w.repo.AnnotatedTag("v2.0.0-rc.1", c3, canaryMessage)
			ok(t, err)
			nested, err := w.repo.AnnotatedTag("nested", a2, "a tag of a tag")
			ok(t, err)
			ok(t, w.repo.Tag("not-a-version", side))
			ok(t, w.repo.SetRef("refs/pull/7/head", side))
			blob, err := w.repo.Write("blob", []byte("x"))
			ok(t, err)
			ok(t, w.repo.Tag("a-blob", blob))

			tests := map[string]struct {
				ref  gitsource.Ref
				want gitsource.Revision
				file string
			}{
				"default":              {gitsource.Ref{}, gitsource.Revision{Ref: "master", Commit: c1}, "1"},
				"branch":               {mainRef, gitsource.Revision{Ref: "main", Commit: c3}, "3"},
				"branch with a slash":  {gitsource.Ref{Branch: "feature/x"}, gitsource.Revision{Ref: "feature/x", Commit: side}, "4"},
				"tag":                  {gitsource.Ref{Tag: "v1.0.0", Branch: "main"}, gitsource.Revision{Ref: "v1.0.0", Commit: c1}, "1"},
				"annotated tag":        {gitsource.Ref{Tag: "v1.10.0"}, gitsource.Revision{Ref: "v1.10.0", Commit: c2, Tag: a2}, "2"},
				"nested tag":           {gitsource.Ref{Tag: "nested"}, gitsource.Revision{Ref: "nested", Commit: c2, Tag: nested}, "2"},
				"semver":               {gitsource.Ref{SemVer: ">=1.0.0", Tag: "v1.0.0"}, gitsource.Revision{Ref: "v1.10.0", Commit: c2, Tag: a2}, "2"},
				"semver, pre-release":  {gitsource.Ref{SemVer: ">=1.0.0-0"}, gitsource.Revision{Ref: "v2.0.0-rc.1", Commit: c3, Tag: a3}, "3"},
				"semver, narrow":       {gitsource.Ref{SemVer: "~1.0"}, gitsource.Revision{Ref: "v1.0.0", Commit: c1}, "1"},
				"name":                 {gitsource.Ref{Name: "refs/pull/7/head", SemVer: "*"}, gitsource.Revision{Ref: "refs/pull/7/head", Commit: side}, "4"},
				"commit of the tip":    {gitsource.Ref{Commit: c3, Name: "refs/heads/main"}, gitsource.Revision{Commit: c3}, "3"},
				"commit in the middle": {gitsource.Ref{Commit: c2, Branch: "main"}, gitsource.Revision{Commit: c2}, "2"},
			}
			for name, tc := range tests {
				t.Run(name, func(t *testing.T) {
					w := &world{T: t, server: w.server, repo: w.repo, store: newStore(t), remote: w.remote}
					rev := w.sync(tc.ref)
					if diff := cmp.Diff(tc.want, rev); diff != "" {
						t.Fatal(diff)
					}
					content, err := w.tree(rev.Commit).ReadFile("f")
					if string(content) != tc.file {
						t.Errorf("got %q, %v; want %q", content, err, tc.file)
					}
					if rev.Tag != "" {
						raw, err := w.open().RawTag(rev.Tag)
						if err != nil || !strings.HasPrefix(string(raw), "object ") {
							t.Errorf("tag object: %q, %v", raw, err)
						}
					}
				})
			}
			t.Run("tag of a blob", func(t *testing.T) {
				store := newStore(t)
				rev, err := store.Resolve(t.Context(), w.remote, gitsource.Ref{Tag: "a-blob"}, 0)
				ok(t, err)
				err = store.Fetch(t.Context(), w.remote, gitsource.Ref{Tag: "a-blob"}, rev)
				wantKind(t, err, gitsource.ErrUnsafeTree)
			})
		})
	}
}

func TestRefIsValidated(t *testing.T) {
	store := newStore(t)
	for _, ref := range []gitsource.Ref{
		{Commit: "abc"}, {Commit: strings.Repeat("AB", 20)}, {Commit: strings.Repeat("ab", 32)}, {Commit: "-" + strings.Repeat("a", 39)},
		{Name: "main"}, {Name: "refs/heads/../../config"}, {Name: "refs/heads/a b"}, {Name: "refs/heads/*"},
		{Branch: "-x"}, {Branch: "a..b"}, {Branch: "a\nb"}, {Branch: "a\x1bb"}, {Branch: "x.lock"}, {Branch: "a/-b"}, {Branch: " "},
		{Tag: "-x"}, {Tag: "^x"}, {SemVer: "not a range"}, {Branch: strings.Repeat("a", 2000)},
	} {
		_, err := store.Resolve(t.Context(), gitsource.Remote{URL: "https://git.invalid/x"}, ref, 0)
		wantKind(t, err, gitsource.ErrInvalidRef)
	}
}

func TestRevision(t *testing.T) {
	id := strings.Repeat("0a", 20)
	for _, rev := range []gitsource.Revision{
		{Commit: id}, {Ref: "main", Commit: id}, {Ref: "feature/a@b", Commit: id}, {Ref: "refs/pull/1/head", Commit: id},
	} {
		back, err := gitsource.ParseRevision(rev.String())
		ok(t, err)
		if diff := cmp.Diff(rev, back); diff != "" {
			t.Error(diff)
		}
	}
	for _, s := range []string{"", "main", "main@" + id, "main@sha1:abc", "@sha1:" + id, "a b@sha1:" + id, "main@sha256:" + id, "sha1:" + strings.ToUpper(id)} {
		_, err := gitsource.ParseRevision(s)
		wantKind(t, err, gitsource.ErrInvalidRef)
	}
}
