package anchor

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
	"github.com/hiddeco/sshsig"
)

// Who commits is a role: it says nothing of the machine or of people.
const (
	roleName = "Stele ledger"
	roleMail = "ledger@stele.invalid"
)

// namespace of Git's signatures.
const namespace = "git"

// made is a commit that is ready to be sent.
type made struct {
	tip
	pack []byte
}

// make makes a signed commit on top of the tip, and a pack with what the branch does not have yet.
func (g *Git) make(checkpoint []byte, size uint64) (made, error) {
	store := memory.NewStorage()
	out := made{tip: tip{checkpoint: bytes.Clone(checkpoint), size: size, has: map[plumbing.Hash]bool{}}}
	tree := &object.Tree{}
	var send []plumbing.Hash
	for _, f := range g.files(checkpoint) {
		id, err := put(store, blob(f.content))
		if err != nil {
			return made{}, err
		}
		out.has[id] = true
		if !g.tip.has[id] {
			send = append(send, id)
		}
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: f.name, Mode: filemode.Regular, Hash: id})
	}
	slices.SortFunc(tree.Entries, func(a, b object.TreeEntry) int { return strings.Compare(a.Name, b.Name) })
	root, err := put(store, tree)
	if err != nil {
		return made{}, err
	}
	commit, err := g.sign(root, size)
	if err != nil {
		return made{}, err
	}
	if out.commit, err = put(store, commit); err != nil {
		return made{}, err
	}
	var pack bytes.Buffer
	_, err = packfile.NewEncoder(&pack, store, false).Encode(append(send, root, out.commit), 0)
	out.pack = pack.Bytes()
	return out, err
}

// sign makes the commit with its signature, which is over all other bytes of it.
func (g *Git) sign(tree plumbing.Hash, size uint64) (*object.Commit, error) {
	who := object.Signature{Name: roleName, Email: roleMail, When: g.clock().UTC()}
	c := &object.Commit{Author: who, Committer: who, TreeHash: tree, Message: fmt.Sprintf("Checkpoint of %d entries\n\n%s\n", size, g.origin)}
	if !g.tip.commit.IsZero() {
		c.ParentHashes = []plumbing.Hash{g.tip.commit}
	}
	payload := &plumbing.MemoryObject{}
	if err := c.EncodeWithoutSignature(payload); err != nil {
		return nil, err
	}
	r, err := payload.Reader()
	if err != nil {
		return nil, err
	}
	sig, err := sshsig.Sign(r, g.signer, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, err
	}
	c.PGPSignature = string(sshsig.Armor(sig)) // the name of the field is of older days
	return c, nil
}

// encoder is what go-git can write as an object.
type encoder interface {
	Encode(plumbing.EncodedObject) error
}

type blob []byte

func (b blob) Encode(o plumbing.EncodedObject) error {
	o.SetType(plumbing.BlobObject)
	w, err := o.Writer()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, bytes.NewReader(b))
	return err
}

func put(store storer.EncodedObjectStorer, e encoder) (plumbing.Hash, error) {
	o := store.NewEncodedObject()
	if err := e.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return store.SetEncodedObject(o)
}
