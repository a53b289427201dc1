// Command base writes the base image of Stele's own image, so that building it needs no registry: nothing but the certificate
// authorities that Mozilla trusts and a user. It lies where ko looks first, in its cache, under its digest.
//
//	go run ./base --cache ../../../dist/ko    prints the reference for KO_DEFAULTBASEIMAGE
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// repository is a name that resolves nowhere: what is not in the cache must fail, and not be pulled.
const repository = "base.invalid/stele"

// user is nobody in particular; config/manager runs the operator as this one.
const user = "65532:65532"

func main() {
	cache := flag.String("cache", "", "folder that ko gets as KOCACHE")
	flag.Parse()
	if *cache == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	digest, err := write(filepath.Join(*cache, "img"))
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "base:", err)
		os.Exit(1)
	}
	_, _ = fmt.Printf("%s@%s\n", repository, digest)
}

// write puts an image for each platform, and the index of them, into a new OCI layout.
func write(dir string) (v1.Hash, error) {
	layer, err := files()
	if err != nil {
		return v1.Hash{}, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return v1.Hash{}, err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{"amd64", "arm64"} {
		image, err := imageOf(layer, arch)
		if err != nil {
			return v1.Hash{}, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
		// ko looks for the images at the top, too.
		if err := path.AppendImage(image); err != nil {
			return v1.Hash{}, err
		}
	}
	if err := path.AppendIndex(index); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

func imageOf(layer v1.Layer, arch string) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.User = "linux", arch, user
	return mutate.ConfigFile(image, config)
}

// files is the one layer. The same module versions give the same bytes.
func files() (v1.Layer, error) {
	authorities, err := authorities()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range []struct {
		name, content string
		mode          int64
	}{
		{"etc/", "", 0o755},
		{"etc/group", "nonroot:x:65532:\n", 0o644},
		{"etc/passwd", "nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n", 0o644},
		{"etc/ssl/", "", 0o755},
		{"etc/ssl/certs/", "", 0o755},
		{"etc/ssl/certs/ca-certificates.crt", authorities, 0o644},
		{"tmp/", "", 0o1777},
	} {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
}

// authorities are those that Mozilla trusts without conditions. The others cannot be written down in this format, which would
// trust them more than Mozilla does.
func authorities() (string, error) {
	var out bytes.Buffer
	n := 0
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		n++
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return "", err
		}
	}
	if n < 50 {
		return "", fmt.Errorf("only %d certificate authorities were found", n)
	}
	return out.String(), nil
}
