// Command installer prints one YAML of a kustomization, with the image of the operator set: what `kubectl apply -f` installs.
//
//	go run ./hack/installer --image registry.example/stele:v1 config/default > dist/install.yaml
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"sigs.k8s.io/kustomize/api/filters/imagetag"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// placeholder is the image that config/manager names.
const placeholder = "stele"

func main() {
	image := flag.String("image", "", "image of the operator, with its tag or digest")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "usage: installer --image IMAGE FOLDER")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(os.Stdout, flag.Arg(0), *image); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "installer:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, folder, image string) error {
	data, err := build(filesys.MakeFsOnDisk(), folder, image)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}

// build renders the kustomization of a folder. Namespaces and CRDs come first; the same files give the same bytes.
func build(files filesys.FileSystem, folder, image string) ([]byte, error) {
	newImage, err := parseImage(image)
	if err != nil {
		return nil, err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	objects, err := krusty.MakeKustomizer(options).Run(files, folder)
	if err != nil {
		return nil, err
	}
	err = objects.ApplyFilter(imagetag.Filter{ImageTag: newImage, FsSlice: types.FsSlice{{Path: "spec/template/spec/containers[]/image"}}})
	if err != nil {
		return nil, err
	}
	return objects.AsYaml()
}

// parseImage takes an image reference apart: name, and tag or digest or both.
func parseImage(image string) (types.Image, error) {
	name, digest, _ := strings.Cut(image, "@")
	out := types.Image{Name: placeholder, NewName: name, Digest: digest}
	// A colon before the last slash belongs to a port.
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		out.NewName, out.NewTag = name[:i], name[i+1:]
	}
	switch {
	case image == "":
		return out, errors.New("--image: say which image to install")
	case strings.ContainsAny(image, " \t\n\"'"), out.NewName == "":
		return out, fmt.Errorf("--image: %q is not an image reference", image)
	case out.NewTag == "" && digest == "":
		return out, fmt.Errorf("--image: %q has neither tag nor digest", image)
	case digest != "" && !strings.HasPrefix(digest, "sha256:"):
		return out, fmt.Errorf("--image: the digest of %q is not sha256", image)
	}
	return out, nil
}
