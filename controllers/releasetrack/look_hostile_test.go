package releasetrack

import (
	"testing"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

// A commit with a root folder that is refused is a release that is Rejected, and the commit after it mends it: neither keeps the track from
// seeing the other.
func TestLookPastARefusedCommit(t *testing.T) {
	hostile := hostileserver.New()
	t.Cleanup(hostile.Close)
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	p := &hostileserver.Pack{}
	file := func(value string) hostileserver.Entry {
		id := p.Add(hostileserver.Blob, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {v: \""+value+"\"}\n"))
		return hostileserver.Entry{Mode: "40000", Name: "deploy", ID: p.AddTree(hostileserver.Entry{Mode: "100644", Name: "a.yaml", ID: id})}
	}
	bad := hostileserver.Entry{Mode: "100644", Name: ".GIT", ID: p.Add(hostileserver.Blob, []byte("x"))}
	first := p.AddCommit(p.AddTree(file("1")))
	refused := p.AddCommit(p.AddTree(bad, file("1")), first)
	mended := p.AddCommit(p.AddTree(file("2")), refused)
	follower := NewFollower(store, &setClock{present}, 1)
	look := func(head string) *found {
		t.Helper()
		hostile.Add("shop", &hostileserver.Script{Head: head, Pack: p.Bytes()})
		req := lookRequest{track: key("shop", "shop"), remote: gitsource.Remote{URL: hostile.URL("shop")}, ref: gitsource.Ref{Branch: "main"}, path: "deploy", fresh: true,
			observed: gitsource.Revision{Ref: "main", Commit: first}}
		f, err := follower.look(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := look(refused); len(f.commits) != 1 || f.newest.refusal == nil || f.newest.refusal.Reason != gitsource.ErrUnsafeTree.Reason {
		t.Errorf("the refused commit: %+v", f)
	}
	if f := look(mended); len(f.commits) != 2 || f.newest.refusal != nil || f.newest.bundle == nil {
		t.Errorf("the commit after it: %+v", f)
	}
}
