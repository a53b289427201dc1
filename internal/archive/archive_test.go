package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
)

var shop = Key{Namespace: "shop", Track: "shop", Release: "shop-1111111111", Digest: "sha256:abcdef0123456789"}

func newStore(t *testing.T, funcs ...interceptor.Funcs) *Store {
	t.Helper()
	b := fake.NewClientBuilder()
	for _, f := range funcs {
		b = b.WithInterceptorFuncs(f)
	}
	return &Store{Client: b.Build(), Namespace: "stele-system"}
}

// noise does not get smaller by compression.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every run
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func save(t *testing.T, s *Store, data []byte) *v1alpha1.ReleaseArchive {
	t.Helper()
	saved, err := s.Save(t.Context(), shop, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func secrets(t *testing.T, s *Store) []corev1.Secret {
	t.Helper()
	list := &corev1.SecretList{}
	if err := s.Client.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestRoundTrip(t *testing.T) {
	cases := map[string]struct {
		data   []byte
		chunks int32
	}{
		"small":                 {[]byte("hello"), 1},
		"empty":                 {[]byte{}, 1},
		"compresses well":       {bytes.Repeat([]byte("kind: ConfigMap\n"), 200_000), 1},
		"just one chunk":        {noise(chunkSize - 1000), 1},
		"just over one chunk":   {noise(chunkSize + 10), 2},
		"as large as it may be": {noise(MaxCompressed - 1000), 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			saved := save(t, s, tc.data)
			if saved.Chunks != tc.chunks || saved.Size < 1 || saved.Size > MaxCompressed {
				t.Errorf("saved as %+v, want %d chunks", saved, tc.chunks)
			}
			var size int64
			for _, secret := range secrets(t, s) {
				if secret.Namespace != "stele-system" || secret.Immutable == nil || !*secret.Immutable || secret.Type != secretType {
					t.Errorf("Secret %s/%s is immutable: %v, type %s", secret.Namespace, secret.Name, secret.Immutable, secret.Type)
				}
				if n := len(secret.Data[chunkKey]); n > chunkSize {
					t.Errorf("chunk of %d bytes", n)
				}
				size += int64(len(secret.Data[chunkKey]))
			}
			if got := len(secrets(t, s)); got != int(tc.chunks) || size != saved.Size {
				t.Errorf("%d Secrets with %d bytes, want %d with %d", got, size, tc.chunks, saved.Size)
			}
			got, err := s.Load(t.Context(), shop, saved)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Data, tc.data) || got.Record != nil {
				t.Error("what comes back is not what was stored")
			}
			// A repeated save (the answer to the first was lost) is the same.
			if diff := cmp.Diff(saved, save(t, s, tc.data)); diff != "" {
				t.Error(diff)
			}
			if err := s.Delete(t.Context(), shop, saved.Chunks); err != nil {
				t.Fatal(err)
			}
			if left := secrets(t, s); len(left) != 0 {
				t.Errorf("%d Secrets are left", len(left))
			}
			if err := s.Delete(t.Context(), shop, saved.Chunks); err != nil {
				t.Errorf("deleting what is gone: %v", err)
			}
		})
	}
}

// What a process has left that ended before it made the release is taken as it is when it is the same, and replaced when it is not.
func TestLeftovers(t *testing.T) {
	s := newStore(t)
	data := noise(chunkSize + 1000)
	save(t, s, data)
	first := secrets(t, s)
	save(t, s, data)
	for i, secret := range secrets(t, s) {
		if secret.ResourceVersion != first[i].ResourceVersion {
			t.Errorf("%s was written again", secret.Name)
		}
	}
	if err := s.Client.Delete(t.Context(), first[1].DeepCopy()); err != nil {
		t.Fatal(err)
	}
	other := s.secret(shop, 1, []byte("packed by another version"))
	if err := s.Client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	saved := save(t, s, data)
	got, err := s.Load(t.Context(), shop, saved)
	if err != nil || !bytes.Equal(got.Data, data) {
		t.Errorf("got %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	s := newStore(t)
	if _, err := s.Save(t.Context(), shop, noise(MaxCompressed+1), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if got := secrets(t, s); len(got) != 0 {
		t.Errorf("%d Secrets were made before the size was looked at", len(got))
	}
}

// What is stored can be removed or replaced by whoever may write Secrets there. It is not used then.
func TestDamage(t *testing.T) {
	data := noise(chunkSize + 1000)
	bomb := func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(make([]byte, maxInflated+1))
		_ = w.Close()
		return b.Bytes()
	}()
	cases := map[string]struct {
		change func(chunks []corev1.Secret) // an emptied name is deleted
		size   int64                        // the release says so; 0: the truth
		want   error
	}{
		"first chunk missing":  {change: func(c []corev1.Secret) { c[0].Name = "" }, want: ErrMissing},
		"second chunk missing": {change: func(c []corev1.Secret) { c[1].Name = "" }, want: ErrMissing},
		"all missing":          {change: func(c []corev1.Secret) { c[0].Name, c[1].Name = "", "" }, want: ErrMissing},
		"a bit flipped":        {change: func(c []corev1.Secret) { c[0].Data[chunkKey][1000] ^= 1 }, want: ErrChanged},
		"last bit flipped":     {change: func(c []corev1.Secret) { d := c[1].Data[chunkKey]; d[len(d)-6] ^= 1 }, want: ErrChanged},
		"shorter":              {change: func(c []corev1.Secret) { d := c[1].Data[chunkKey]; c[1].Data[chunkKey] = d[:len(d)-1] }, want: ErrChanged},
		"longer":               {change: func(c []corev1.Secret) { c[1].Data[chunkKey] = append(c[1].Data[chunkKey], 0) }, want: ErrChanged},
		"chunks swapped":       {change: func(c []corev1.Secret) { c[0].Data, c[1].Data = c[1].Data, c[0].Data }, want: ErrChanged},
		"no data":              {change: func(c []corev1.Secret) { c[0].Data = nil }, want: ErrChanged},
		"not gzip":             {change: func(c []corev1.Secret) { copy(c[0].Data[chunkKey], "PK") }, want: ErrChanged},
		"bomb": {change: func(c []corev1.Secret) { c[0].Data[chunkKey], c[1].Data = bomb, nil },
			size: int64(len(bomb)), want: ErrChanged},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			saved := save(t, s, data)
			chunks := []corev1.Secret{}
			for i := range saved.Chunks {
				secret := corev1.Secret{}
				if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.Namespace, Name: chunkName(i)}, &secret); err != nil {
					t.Fatal(err)
				}
				chunks = append(chunks, secret)
				if err := s.Client.Delete(t.Context(), secret.DeepCopy()); err != nil {
					t.Fatal(err)
				}
			}
			tc.change(chunks)
			for i := range chunks {
				if chunks[i].Name == "" {
					continue
				}
				chunks[i].ResourceVersion = ""
				if err := s.Client.Create(t.Context(), &chunks[i]); err != nil {
					t.Fatal(err)
				}
			}
			if tc.size != 0 {
				saved.Size = tc.size
			}
			got, err := s.Load(t.Context(), shop, saved)
			if !errors.Is(err, tc.want) || got != nil {
				t.Errorf("got %v and %v, want %v", got, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "\x00") {
				t.Error("the message holds what the archive does")
			}
		})
	}
}

func chunkName(i int32) string { return name(shop, i) }

// An API server that does not answer says nothing about the archive.
func TestTransientErrors(t *testing.T) {
	busy := apierrors.NewTooManyRequests("slow down", 1)
	s := newStore(t, interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return busy
		},
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return busy },
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return busy },
	})
	_, saveErr := s.Save(t.Context(), shop, []byte("x"), nil)
	_, loadErr := s.Load(t.Context(), shop, &v1alpha1.ReleaseArchive{Chunks: 1, Size: 1})
	for what, err := range map[string]error{"save": saveErr, "load": loadErr, "delete": s.Delete(t.Context(), shop, 1)} {
		if !errors.Is(err, busy) || errors.Is(err, ErrMissing) || errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && !strings.Contains(err.Error(), "shop/shop-1111111111") {
			t.Errorf("%s: the message does not name the release: %v", what, err)
		}
	}
}

// Archives of different content never share a Secret, nor do those of different namespaces.
func TestNames(t *testing.T) {
	seen := map[string]Key{}
	for _, k := range []Key{shop, {Namespace: "shop", Release: "shop-1111111111", Digest: "sha256:bbbbbbbbbbbb"},
		{Namespace: "other", Release: "shop-1111111111", Digest: shop.Digest}, {Namespace: "shop", Release: "shop-2222222222", Digest: shop.Digest}} {
		n := name(k, 0)
		if other, taken := seen[n]; taken {
			t.Errorf("%v and %v are both named %s", k, other, n)
		}
		seen[n] = k
	}
	long := Key{Namespace: strings.Repeat("n", 63), Release: strings.Repeat("r", 63), Digest: shop.Digest}
	if n := name(long, 7); len(n) > 253 {
		t.Errorf("name of %d characters", len(n))
	}
}
