package render

import (
	"errors"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
)

// folder is what a folder of plain YAML contains.
type folder struct {
	files      []string // manifests, in lexical order
	kustomized []string // subfolders with a kustomization file, not looked into
}

// manifestSuffixes are the names that are read in a plain folder. Others (README.md, scripts) are left alone.
var manifestSuffixes = []string{".yaml", ".yml", ".json"}

// walkFolder finds the manifests below a folder. A subfolder with a kustomization file is one unit, as in Flux.
func walkFolder(r *reader, dir string, c *problems) (folder, error) {
	var f folder
	entries, err := r.list(dir)
	if err != nil {
		return f, c.take(err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case e.IsDir():
			kust, err := kustomizationFile(r, name)
			if err != nil {
				return f, err
			}
			if kust {
				f.kustomized = append(f.kustomized, name)
				continue
			}
			sub, err := walkFolder(r, name, c)
			if err != nil {
				return f, err
			}
			f.files = append(f.files, sub.files...)
			f.kustomized = append(f.kustomized, sub.kustomized...)
		case !e.Type().IsRegular():
			// A link to a folder has no suffix, so all links are refused, not only those that end in .yaml.
			_ = c.take(notRegular(name, e.Type()))
		case slices.Contains(manifestSuffixes, path.Ext(e.Name())):
			f.files = append(f.files, name)
		}
	}
	return f, nil
}

// kustomizationFile reports whether a folder has a kustomization file.
func kustomizationFile(r *reader, dir string) (bool, error) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if found, err := r.exists(path.Join(dir, name)); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// loadPlain reads and parses the manifests of a plain folder. It has nothing to do with kustomize and waits for none
// of its locks.
func loadPlain(r *reader, files []string, c *problems) ([]*item, error) {
	var items []*item
	for _, name := range files {
		data, err := r.read(name)
		if err != nil {
			if err := c.take(err); err != nil {
				return nil, err
			}
			if stopsReading(err) {
				break
			}
			continue
		}
		docs, bad := parseFile(name, data)
		c.add(bad...)
		found, bad := splitObjects(name, docs)
		c.add(bad...)
		if items = append(items, found...); len(items) > maxObjects {
			break // reported with the count by the caller
		}
	}
	return slices.DeleteFunc(items, isLocal), nil
}

// stopsReading reports whether a limit on all files together was hit.
func stopsReading(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.problem.Reason == ReasonLimitExceeded
}

// isLocal reports whether an object is meant for tools only. kustomize leaves such objects out, and Flux, which builds
// plain folders with kustomize, does too.
func isLocal(it *item) bool {
	return strings.EqualFold(stringAt(it.content(), "metadata", "annotations", "config.kubernetes.io/local-config"), "true")
}
