package webhook

import (
	"strings"
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestRepository(t *testing.T) {
	const want = "git.example/acme/shop"
	for _, same := range []string{
		"https://git.example/acme/shop.git", "https://git.example/acme/shop", "https://git.example/acme/shop/", "http://git.example:3000/acme/shop.git",
		"https://user:secret@git.example/acme/shop.git", "ssh://git@git.example/acme/shop.git", "ssh://git@git.example:2222/acme/shop", "git://git.example/acme/shop.git",
		"git@git.example:acme/shop.git", "git@git.example:/acme/shop.git", "git.example:acme/shop", "https://GIT.Example/Acme/Shop.git", "https://git.example/acme%2Fshop",
		"https://git.example//acme/shop.git", "https://git.example/acme/shop.git/", "https://git.example/acme/shop.git?x=1#y",
	} {
		if got := Repository(same); got != want {
			t.Errorf("%s became %s", same, got)
		}
	}
	for _, other := range []string{"https://git.example/acme/shop2.git", "https://git.example/acme/shop/x", "https://git.example/shop", "https://git.example.evil/acme/shop.git",
		"https://evil/git.example/acme/shop.git", "https://xgit.example/acme/shop", "https://git.example/acme/.*", "https://git.example/acme/sho[p]", "https://git.example/acme/shop.git.git/x",
		"https://git.example@evil/acme/shop", "https://git.example/acme/../acme/shop", "https://[::1]/acme/shop"} {
		if got := Repository(other); got == want {
			t.Errorf("%s is taken for %s", other, want)
		}
	}
	for _, none := range []string{"", " ", "x", "/", "://", "https://", "https:///acme/shop", "https://git.example", "https://git.example/", "https://git.example/.git", "git@git.example:", ":x",
		"/srv/git/shop.git", "./a:b", "https://git.example/a b", "https://git.example/\x00", "https://git.example/\n", "https://%zz/x", "https://git.example:x/y",
		"https://git.example/" + strings.Repeat("a", maxAddress)} {
		if got := Repository(none); got != "" {
			t.Errorf("%q became %q", none, got)
		}
	}
}

func TestConcerns(t *testing.T) {
	const here, elsewhere = "https://git.example/acme/shop.git", "https://git.example/acme/other.git"
	other := strings.Repeat("b", 40)
	to := func(ref, id string) Push {
		return Push{Repositories: known([]string{here}), Changes: []Change{{ref, id}}}
	}
	main, tag := to("refs/heads/main", after), to("refs/tags/v1.4.0", after)
	for name, tc := range map[string]struct {
		push     Push
		url      string
		ref      v1alpha1.GitRef
		observed string
		want     Concern
	}{
		"branch":                                  {main, here, v1alpha1.GitRef{Branch: "main"}, "main@sha1:" + other, Look},
		"branch, over ssh":                        {main, "ssh://git@git.example:2222/acme/shop", v1alpha1.GitRef{Branch: "main"}, "", Look},
		"branch, seen":                            {main, here, v1alpha1.GitRef{Branch: "main"}, "main@sha1:" + after, Seen},
		"branch, seen under another name":         {main, here, v1alpha1.GitRef{Branch: "main"}, "old@sha1:" + after, Look},
		"branch, that is gone":                    {to("refs/heads/main", ""), here, v1alpha1.GitRef{Branch: "main"}, "main@sha1:" + after, Look},
		"branch, nothing observed":                {to("refs/heads/main", ""), here, v1alpha1.GitRef{Branch: "main"}, "main@sha1:", Look},
		"branch, of another repository":           {main, elsewhere, v1alpha1.GitRef{Branch: "main"}, "", No},
		"another branch":                          {main, here, v1alpha1.GitRef{Branch: "next"}, "", No},
		"branch that begins alike":                {main, here, v1alpha1.GitRef{Branch: "mai"}, "", No},
		"branch with the name of a tag":           {tag, here, v1alpha1.GitRef{Branch: "v1.4.0"}, "", No},
		"branch, that looks like a pattern":       {main, here, v1alpha1.GitRef{Branch: "ma.n"}, "", No},
		"branch in folders":                       {to("refs/heads/a/b", after), here, v1alpha1.GitRef{Branch: "a/b"}, "a/b@sha1:" + after, Seen},
		"default branch":                          {to("refs/heads/master", after), here, v1alpha1.GitRef{}, "", Look},
		"default branch, and main moves":          {main, here, v1alpha1.GitRef{}, "", No},
		"tag":                                     {tag, here, v1alpha1.GitRef{Tag: "v1.4.0"}, "v1.4.0@sha1:" + other, Look},
		"tag, seen":                               {tag, here, v1alpha1.GitRef{Tag: "v1.4.0"}, "v1.4.0@sha1:" + after, Seen},
		"annotated tag, whose object is named":    {to("refs/tags/v1.4.0", tagObject), here, v1alpha1.GitRef{Tag: "v1.4.0"}, "v1.4.0@sha1:" + after, Look},
		"another tag":                             {tag, here, v1alpha1.GitRef{Tag: "v1.4"}, "", No},
		"tag, and a branch moves":                 {main, here, v1alpha1.GitRef{Tag: "main"}, "", No},
		"versions":                                {tag, here, v1alpha1.GitRef{SemVer: ">=1.0.0"}, "v1.3.0@sha1:" + after, Look},
		"versions, seen":                          {tag, here, v1alpha1.GitRef{SemVer: ">=1.0.0"}, "v1.4.0@sha1:" + after, Seen},
		"versions, one is deleted":                {to("refs/tags/v1.4.0", ""), here, v1alpha1.GitRef{SemVer: ">=1.0.0"}, "v1.4.0@sha1:" + after, Look},
		"versions, and a branch moves":            {main, here, v1alpha1.GitRef{SemVer: ">=1.0.0"}, "", No},
		"versions count before branch":            {main, here, v1alpha1.GitRef{SemVer: ">=1.0.0", Branch: "main"}, "", No},
		"name":                                    {to("refs/pull/4/head", after), here, v1alpha1.GitRef{Name: "refs/pull/4/head"}, "", Look},
		"name, seen":                              {to("refs/heads/main", after), here, v1alpha1.GitRef{Name: "refs/heads/main"}, "refs/heads/main@sha1:" + after, Seen},
		"name counts before tag":                  {tag, here, v1alpha1.GitRef{Name: "refs/heads/main", Tag: "v1.4.0"}, "", No},
		"commit, elsewhere":                       {main, here, v1alpha1.GitRef{Commit: other}, "", No},
		"commit, that has come":                   {main, here, v1alpha1.GitRef{Commit: after, Branch: "x"}, "", Look},
		"commit, seen":                            {main, here, v1alpha1.GitRef{Commit: after}, "sha1:" + after, Seen},
		"commit, and a ref is gone":               {to("refs/heads/main", ""), here, v1alpha1.GitRef{Commit: after}, "", No},
		"says nothing":                            {Push{}, here, v1alpha1.GitRef{Branch: "main"}, "main@sha1:" + after, Look},
		"says nothing, and a commit is followed":  {Push{}, here, v1alpha1.GitRef{Commit: after}, "", Look},
		"says the ref only":                       {Push{Changes: main.Changes}, elsewhere, v1alpha1.GitRef{Branch: "main"}, "", Look},
		"says the repository only":                {Push{Repositories: main.Repositories}, here, v1alpha1.GitRef{Branch: "x"}, "", Look},
		"says another repository only":            {Push{Repositories: main.Repositories}, elsewhere, v1alpha1.GitRef{Branch: "x"}, "", No},
		"a track with an address that is none":    {main, "x", v1alpha1.GitRef{Branch: "main"}, "", No},
		"two changes, the second one counts":      {Push{main.Repositories, []Change{tag.Changes[0], main.Changes[0]}}, here, v1alpha1.GitRef{Branch: "main"}, "", Look},
		"two changes of one ref, the first seen":  {Push{main.Repositories, []Change{main.Changes[0], {"refs/heads/main", other}}}, here, v1alpha1.GitRef{Branch: "main"}, "main@sha1:" + after, Look},
		"two changes, the one that counts, seen":  {Push{main.Repositories, []Change{main.Changes[0], tag.Changes[0]}}, here, v1alpha1.GitRef{Branch: "main"}, "main@sha1:" + after, Seen},
		"a branch with a name like a full one":    {to("refs/heads/refs/tags/x", after), here, v1alpha1.GitRef{Branch: "refs/tags/x"}, "refs/tags/x@sha1:" + after, Seen},
		"observed is another track's full name":   {main, here, v1alpha1.GitRef{Name: "refs/heads/main"}, "main@sha1:" + after, Look},
		"observed was made unreadable":            {main, here, v1alpha1.GitRef{Branch: "main"}, "@@@", Look},
		"nothing was observed, and nothing moved": {Push{Repositories: main.Repositories, Changes: []Change{}}, here, v1alpha1.GitRef{Branch: "main"}, "", Look},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.push.Concerns(v1alpha1.TrackSource{URL: tc.url, Ref: tc.ref}, tc.observed); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
