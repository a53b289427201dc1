package releasetrack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/render"
)

// rendered is what a commit holds: a bundle, or why it is refused.
type rendered struct {
	bundle  *render.Bundle
	encoded []byte
	// digests of images that it names by a tag; those that no registry told are not in it.
	digests []v1alpha1.ResolvedImage
	// contentDigest is over the files that were read.
	contentDigest string
	refusal       *v1alpha1.ReleaseRefusal
	// verification is the result of the check of signatures, where it was asked for and passed; unverified: it has refused the commit,
	// and nothing of it was read.
	verification *v1alpha1.ReleaseVerification
	unverified   bool
	// findings of the gates, those that refuse it included.
	findings []policy.Finding
}

// fingerprint identifies everything in a commit that the release of a path depends on.
func fingerprint(t *gitsource.Tree, path string) (string, error) {
	roots, err := render.Closure(t, path)
	if err != nil {
		// What cannot be understood is told apart by its own content; rendering it says what is wrong.
		roots = []string{path}
	}
	h := sha256.New()
	for _, root := range roots {
		id, err := t.Hash(root)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			id = "absent"
		case errors.Is(err, gitsource.ErrUnsafeTree), errors.Is(err, gitsource.ErrLimit):
			// Rendering refuses the commit and says why. An error would keep the walk from every commit after it, too.
			if id, err = t.Hash("."); err != nil {
				return "", err
			}
			id = "refused " + id
		case err != nil:
			return "", err
		}
		fmt.Fprintf(h, "%s %s\n", id, root)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// renderCommit builds a commit's content. What is wrong with the commit is a refusal, not an error.
func renderCommit(tree fs.FS, req lookRequest) (rendered, error) {
	recorder := &recordingFS{FS: tree, files: map[string][sha256.Size]byte{}}
	opt := render.OptionsOf(req.track.Namespace, req.track.Name, req.shape.Ignore, req.shape.NameReferences, req.shape.Gates)
	opt.Cache = req.renders
	bundle, err := render.Build(recorder, req.path, opt)
	out := rendered{contentDigest: recorder.digest()}
	var problems *render.Error
	var limit *gitsource.LimitError
	switch {
	case errors.As(err, &problems) && len(problems.Problems) > 0:
		out.refusal = &v1alpha1.ReleaseRefusal{Reason: problems.Problems[0].Reason, Message: cut(problems.Error(), 8192)}
		out.findings = problems.Findings()
		return out, nil
	case errors.As(err, &limit), errors.Is(err, gitsource.ErrUnsafeTree):
		out.refusal = &v1alpha1.ReleaseRefusal{Reason: gitsource.Reason(err), Message: cut(err.Error(), 8192)}
		out.findings = []policy.Finding{refusedBy(out.refusal)}
		return out, nil
	case err != nil:
		return out, err
	}
	out.bundle, out.findings = bundle, bundle.Warnings
	out.encoded, err = bundle.Encode()
	return out, err
}

// refusedBy is the finding of a refusal that has only one.
func refusedBy(r *v1alpha1.ReleaseRefusal) policy.Finding {
	return policy.Found(policy.Finding{Reason: r.Reason, Message: r.Message})
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-3], "") + "..."
}

// recordingFS remembers the SHA-256 of every file that is read.
type recordingFS struct {
	fs.FS
	files map[string][sha256.Size]byte
}

func (r *recordingFS) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(r.FS, name)
	if err == nil {
		r.files[name] = sha256.Sum256(data)
	}
	return data, err
}

func (r *recordingFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(r.FS, name) }

func (r *recordingFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(r.FS, name) }

// digest is over the sorted list of "<sha256>  <path>" lines, as sha256sum prints them; "" when nothing was read.
func (r *recordingFS) digest() string {
	if len(r.files) == 0 {
		return ""
	}
	var lines []string
	for name, sum := range r.files {
		lines = append(lines, hex.EncodeToString(sum[:])+"  "+name+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return "sha256:" + hex.EncodeToString(sum[:])
}
