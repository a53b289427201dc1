package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const (
	// MaxCompressed is the largest archive, in bytes after compression.
	MaxCompressed = 1 << 20
	// chunkSize keeps a Secret, base64 and all, well below what etcd takes.
	chunkSize = 512 << 10
	// maxInflated bounds what a changed archive can make us allocate.
	maxInflated = 16 << 20

	chunkKey   = "chunk"
	secretType = "stele.dev/archive"
)

var (
	// ErrMissing: a chunk of the archive is not there.
	ErrMissing = errors.New("the archive is missing")
	// ErrChanged: the archive is not what was stored.
	ErrChanged = errors.New("the archive was changed")
	// ErrTooLarge: the archive is over MaxCompressed.
	ErrTooLarge = errors.New("the archive is too large")
)

// Key names the archive of a release. The digest is part of the names of its Secrets, so that an archive is never overwritten by
// one with another content.
type Key struct {
	Namespace, Track, Release, Digest string
}

// Store reads and writes archives. It never lists Secrets.
type Store struct {
	// Client reads and writes live, not through a cache.
	Client client.Client
	// Namespace is the operator's own.
	Namespace string
}

// Save compresses data and stores it. It can be called again with the same content.
func (s *Store) Save(ctx context.Context, key Key, data []byte) (*v1alpha1.ReleaseArchive, error) {
	packed, err := pack(data)
	if err != nil {
		return nil, err
	}
	if len(packed) > MaxCompressed {
		return nil, fmt.Errorf("%w: %d bytes compressed, at most %d", ErrTooLarge, len(packed), MaxCompressed)
	}
	out := &v1alpha1.ReleaseArchive{Size: int64(len(packed))}
	for rest := packed; len(rest) > 0; out.Chunks++ {
		n := min(chunkSize, len(rest))
		if err := s.saveChunk(ctx, s.secret(key, out.Chunks, rest[:n])); err != nil {
			return nil, fmt.Errorf("store archive of release %s/%s: %w", key.Namespace, key.Release, err)
		}
		rest = rest[n:]
	}
	return out, nil
}

// saveChunk creates a chunk. One that is there already was left by a process that ended before it made the release; what another
// version has packed otherwise is replaced.
func (s *Store) saveChunk(ctx context.Context, chunk *corev1.Secret) error {
	err := s.Client.Create(ctx, chunk.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	var old corev1.Secret
	if err := s.Client.Get(ctx, client.ObjectKeyFromObject(chunk), &old); err != nil {
		return err
	}
	if bytes.Equal(old.Data[chunkKey], chunk.Data[chunkKey]) {
		return nil
	}
	if err := s.Client.Delete(ctx, &old, client.Preconditions{UID: &old.UID}); client.IgnoreNotFound(err) != nil {
		return err
	}
	return s.Client.Create(ctx, chunk)
}

func (s *Store) secret(key Key, i int32, chunk []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name(key, i), Labels: map[string]string{
			"app.kubernetes.io/managed-by": "stele", "app.kubernetes.io/component": "archive",
		}, Annotations: map[string]string{
			"stele.dev/archive-of": key.Namespace + "/" + key.Release,
		}},
		Type: secretType, Immutable: ptr.To(true), Data: map[string][]byte{chunkKey: chunk},
	}
}

// Load reads an archive back. Errors: ErrMissing, ErrChanged, or what the API server says.
func (s *Store) Load(ctx context.Context, key Key, archive *v1alpha1.ReleaseArchive) ([]byte, error) {
	var packed bytes.Buffer
	for i := range archive.Chunks {
		var secret corev1.Secret
		err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name(key, i)}, &secret)
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%w: Secret %s/%s does not exist", ErrMissing, s.Namespace, name(key, i))
		}
		if err != nil {
			return nil, fmt.Errorf("read archive of release %s/%s: %w", key.Namespace, key.Release, err)
		}
		packed.Write(secret.Data[chunkKey])
	}
	if int64(packed.Len()) != archive.Size {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", ErrChanged, packed.Len(), archive.Size)
	}
	data, err := unpack(&packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return data, nil
}

// Delete removes an archive; what is gone already is fine.
func (s *Store) Delete(ctx context.Context, key Key, chunks int32) error {
	for i := range chunks {
		err := s.Client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name(key, i)}})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete archive of release %s/%s: %w", key.Namespace, key.Release, err)
		}
	}
	return nil
}

func name(key Key, i int32) string {
	digest := strings.TrimPrefix(key.Digest, "sha256:")
	return fmt.Sprintf("archive.%s.%s.%s.%d", key.Namespace, key.Release, digest[:min(10, len(digest))], i)
}

func pack(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(packed io.Reader) ([]byte, error) {
	r, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxInflated {
		return nil, fmt.Errorf("more than %d bytes", maxInflated)
	}
	return data, nil
}
