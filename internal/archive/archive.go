package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

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
	// MaxChunks is how many Secrets an archive has at most.
	MaxChunks = MaxCompressed / chunkSize
	// chunkSize keeps a Secret, base64 and all, well below what etcd takes.
	chunkSize = 512 << 10
	// maxInflated bounds what a changed archive can make us allocate.
	maxInflated = 16 << 20

	// maxRecord is the largest record of a release, in bytes after compression: with a chunk beside it, it fits into a Secret.
	maxRecord = 384 << 10

	chunkKey   = "chunk"
	recordKey  = "release"
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

// Stored is what an archive holds.
type Stored struct {
	// Data as it was given to Save.
	Data []byte
	// Record of the release as it was given to Save; nil: archives of earlier versions have none.
	Record []byte
	// Made is when the API server took the Secret that holds the record.
	Made time.Time
}

// Save compresses data and stores it. It can be called again with the same content. The record of the release says, in the first
// Secret, what the release was when it was made; it is asked for when it is known how the data are stored. nil: there is none.
func (s *Store) Save(ctx context.Context, key Key, data []byte, record func(v1alpha1.ReleaseArchive) ([]byte, error)) (*v1alpha1.ReleaseArchive, error) {
	packed, err := pack(data)
	if err != nil {
		return nil, err
	}
	if len(packed) > MaxCompressed {
		return nil, fmt.Errorf("%w: %d bytes compressed, at most %d", ErrTooLarge, len(packed), MaxCompressed)
	}
	out := &v1alpha1.ReleaseArchive{Size: int64(len(packed)), Chunks: int32((len(packed) + chunkSize - 1) / chunkSize)} //nolint:gosec // at most 2
	var of []byte
	if record != nil {
		if of, err = record(*out); err != nil {
			return nil, err
		}
	}
	return out, s.store(ctx, key, packed, out.Chunks, of)
}

// Restore stores an archive again that was lost or changed, in as many Secrets as its release says.
func (s *Store) Restore(ctx context.Context, key Key, chunks int32, data, record []byte) error {
	packed, err := pack(data)
	if err != nil {
		return err
	}
	return s.store(ctx, key, packed, chunks, record)
}

// store cuts what is packed into chunks of the same size, but for the last.
func (s *Store) store(ctx context.Context, key Key, packed []byte, chunks int32, record []byte) error {
	size := chunkSize
	if chunks > 0 && (len(packed)+chunkSize-1)/chunkSize != int(chunks) {
		size = (len(packed) + int(chunks) - 1) / int(chunks) // another version has packed it otherwise
	}
	of, err := packRecord(record)
	if err != nil {
		return err
	}
	rest := packed
	for i := range chunks {
		n := min(size, len(rest))
		chunk := s.secret(key, i, rest[:n])
		if i == 0 && of != nil {
			chunk.Data[recordKey] = of
		}
		if err := s.saveChunk(ctx, chunk); err != nil {
			return fmt.Errorf("store archive of release %s/%s: %w", key.Namespace, key.Release, err)
		}
		rest = rest[n:]
	}
	return nil
}

// packRecord leaves out a record that would not fit: the release is protected by the chain alone then.
func packRecord(record []byte) ([]byte, error) {
	if record == nil {
		return nil, nil
	}
	packed, err := pack(record)
	if len(packed) > maxRecord {
		return nil, err
	}
	return packed, err
}

// saveChunk creates a chunk. One that is there already was left by a process that ended before it made the release; what another
// version has packed otherwise, or somebody else has put there, is replaced.
func (s *Store) saveChunk(ctx context.Context, chunk *corev1.Secret) error {
	err := s.Client.Create(ctx, chunk.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	var old corev1.Secret
	if err := s.Client.Get(ctx, client.ObjectKeyFromObject(chunk), &old); err != nil {
		return err
	}
	if sameSecret(&old, chunk) {
		return nil
	}
	if err := s.Client.Delete(ctx, &old, client.Preconditions{UID: &old.UID}); client.IgnoreNotFound(err) != nil {
		return err
	}
	return s.Client.Create(ctx, chunk)
}

// sameSecret: nothing differs, and it cannot be changed.
func sameSecret(old, want *corev1.Secret) bool {
	return ptr.Deref(old.Immutable, false) && old.Type == want.Type && old.DeletionTimestamp.IsZero() && maps.EqualFunc(old.Data, want.Data, bytes.Equal)
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

// Load reads an archive back. The caller compares the digest of the data with that of the release. Errors: ErrMissing, ErrChanged, or
// what the API server says.
func (s *Store) Load(ctx context.Context, key Key, archive *v1alpha1.ReleaseArchive) (*Stored, error) {
	var packed bytes.Buffer
	out := &Stored{}
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
		if record := secret.Data[recordKey]; i == 0 && record != nil {
			out.Made = secret.CreationTimestamp.Time
			if out.Record, err = unpack(bytes.NewReader(record)); err != nil {
				return nil, fmt.Errorf("%w: the record of the release: %w", ErrChanged, err)
			}
		}
	}
	data, err := unpack(&packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChanged, err)
	}
	out.Data = data
	return out, nil
}

// Record reads what an archive says of its release, and when the API server took it; nil: nothing, or there is none.
func (s *Store) Record(ctx context.Context, key Key) ([]byte, time.Time, error) {
	var secret corev1.Secret
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name(key, 0)}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read archive of release %s/%s: %w", key.Namespace, key.Release, err)
	}
	record, err := unpack(bytes.NewReader(secret.Data[recordKey]))
	if err != nil {
		return nil, time.Time{}, nil //nolint:nilerr // whoever loads the archive is told
	}
	return record, secret.CreationTimestamp.Time, nil
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
