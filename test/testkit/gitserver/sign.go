package gitserver

import "fmt"

// Signer adds a signature to the bytes of an object; package signing has some.
type Signer func(raw []byte) ([]byte, error)

// SignedBy signs the commit.
func SignedBy(sign Signer) CommitOption { return func(c *commitSpec) { c.sign = sign } }

// signCommit replaces the tip of a branch by the same commit with a signature.
func (r *Repo) signCommit(branch string, sign Signer) error {
	raw, err := r.raw("commit", "refs/heads/"+branch)
	if err != nil {
		return err
	}
	signed, err := sign(raw)
	if err != nil {
		return err
	}
	id, err := r.Write("commit", signed)
	if err != nil {
		return err
	}
	return r.Branch(branch, id)
}

// SignedTag makes an annotated tag with a signature and returns the id of the tag.
func (r *Repo) SignedTag(name, commit, message string, sign Signer) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	raw := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger Test <test@example.invalid> %d +0000\n\n%s\n", commit, name, r.clock.Unix(), message)
	signed, err := sign([]byte(raw))
	if err != nil {
		return "", err
	}
	id, err := r.Write("tag", signed)
	if err != nil {
		return "", err
	}
	return id, r.SetRef("refs/tags/"+name, id)
}

// raw are the bytes of an object.
func (r *Repo) raw(objectType, name string) ([]byte, error) {
	return output(r.dir, nil, "--git-dir="+r.dir, "cat-file", objectType, name)
}
