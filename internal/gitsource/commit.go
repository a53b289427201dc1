package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/gitsource/packs"
)

// maxCommit bounds one commit object: octopus merges and signatures fit, a bomb does not.
const maxCommit = 1 << 20

// Meta is what is known of a commit. It deliberately has no author, committer or message: they are personal data, or
// may hold some.
type Meta struct {
	Commit, TreeHash string
	// Time is the committer's time, in UTC. It is what somebody's machine said, not more.
	Time    time.Time
	Parents []string
}

func (r *Repository) commit(id plumbing.Hash) (*object.Commit, error) {
	raw, err := r.read(id, plumbing.CommitObject, maxCommit)
	if err != nil {
		return nil, err
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	if _, err := o.Write(raw); err != nil {
		return nil, err
	}
	c := &object.Commit{}
	if err := errors.Join(checkHeader(raw), c.Decode(o)); err != nil {
		return nil, fault.New(fault.Tree, fmt.Sprintf("commit %s is malformed (%s)", id, fault.Scrub(err.Error())), err)
	}
	return c, nil
}

// checkHeader refuses a commit that different readers read differently: with a second tree, author or committer, or a
// parent after them, some take the first and some the last, and a signature would be checked over one and the files
// read from the other.
func checkHeader(raw []byte) error {
	header, _, _ := bytes.Cut(raw, []byte("\n\n"))
	const other = 4
	at := -1
	for i, line := range strings.Split(string(header), "\n") {
		key, _, _ := strings.Cut(line, " ")
		rank := slices.Index([]string{"tree", "parent", "author", "committer"}, key)
		if rank < 0 {
			rank = other
		}
		repeats := rank == at && (rank == 1 || rank == other)
		noParent := at == 0 && rank == 2
		if !repeats && !noParent && rank != at+1 {
			return fmt.Errorf("line %d of its header is out of place", i+1)
		}
		at = rank
	}
	if at < other-1 {
		return errors.New("its header is incomplete")
	}
	return nil
}

// known reads a commit that a caller named.
func (r *Repository) known(commit string) (*object.Commit, error) {
	if !isCommitID(commit) {
		return nil, invalidRef("commit %q is not 40 hex", fault.Scrub(commit))
	}
	id := plumbing.NewHash(commit)
	if has, err := r.packs.Has(id); err != nil {
		return nil, r.judge(id, plumbing.CommitObject, err)
	} else if !has {
		return nil, fault.New(fault.NotFetched,
			fmt.Sprintf("commit %s is not in the cache; it must be fetched first", commit), nil)
	}
	return r.commit(id)
}

// Meta reads what is known of a commit.
func (r *Repository) Meta(commit string) (Meta, error) {
	c, err := r.known(commit)
	if err != nil {
		return Meta{}, err
	}
	return meta(c), nil
}

func meta(c *object.Commit) Meta {
	m := Meta{Commit: c.Hash.String(), TreeHash: c.TreeHash.String(), Time: c.Committer.When.UTC()}
	for _, p := range c.ParentHashes {
		m.Parents = append(m.Parents, p.String())
	}
	return m
}

// Tree gives the files of a commit.
func (r *Repository) Tree(commit string) (*Tree, error) {
	c, err := r.known(commit)
	if err != nil {
		return nil, err
	}
	return newTree(r, c.TreeHash), nil
}

// RawCommit and RawTag give the bytes of a commit or of an annotated tag as they are, for the check of a signature and
// for nothing else: they hold names, addresses and a message.
func (r *Repository) RawCommit(commit string) ([]byte, error) {
	return r.raw(commit, plumbing.CommitObject)
}

// RawTag: see RawCommit. The id is Revision.Tag.
func (r *Repository) RawTag(id string) ([]byte, error) { return r.raw(id, plumbing.TagObject) }

func (r *Repository) raw(id string, typ plumbing.ObjectType) ([]byte, error) {
	if !isCommitID(id) {
		return nil, invalidRef("object id %q is not 40 hex", fault.Scrub(id))
	}
	content, err := r.packs.Read(plumbing.NewHash(id), typ, maxCommit)
	if errors.Is(err, packs.ErrMissing) {
		return nil, fault.New(fault.NotFetched, fmt.Sprintf("%s %s is not in the cache; it must be fetched first", typ, id), err)
	}
	return append([]byte(nil), content...), r.judge(plumbing.NewHash(id), typ, err)
}
