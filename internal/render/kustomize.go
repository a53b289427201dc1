package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// kustomizeLock serializes builds: kustomize keeps the OpenAPI schema in a global that a build may change
// (kubernetes-sigs/kustomize#3659), and even the reading of an object's identity looks into it. What comes before and
// after, in our own types, runs outside of the lock.
var kustomizeLock sync.Mutex

// origin is where an object of Git is written; kustomize itself does not keep it.
type origin struct {
	file string
	line int
}

// build writes what was checked into an in-memory file system and runs kustomize on it.
func (k *closure) build(c *problems) ([]*item, error) {
	mem := newMemory()
	origins := map[objectKey]origin{}
	words := newVocabulary()
	for _, it := range k.named {
		words.object(it)
	}
	longest := 0
	for _, name := range slices.Sorted(maps.Keys(k.roles)) {
		data, err := k.content(name, origins, words, c)
		if err != nil {
			if err := c.take(err); err != nil {
				return nil, err
			}
			continue
		}
		longest = max(longest, len(data))
		if data != nil {
			mem.add(name, data)
		}
	}
	for _, d := range k.dirs {
		data, err := json.Marshal(d.k)
		if err != nil {
			return nil, fmt.Errorf("writing the kustomization of %q: %w", d.file, err)
		}
		mem.add(d.file, yamlSafe(data))
		words.path(d.file)
	}
	k.checkWeight(longest, c)
	if c.any() {
		return nil, nil
	}
	result, err := runKustomize(mem, path.Join("/", k.root), k.customSchema())
	if err != nil {
		c.add(k.failure(err, words))
		return nil, nil
	}
	return k.items(result, origins, c), nil
}

// content returns what kustomize is given for a file.
func (k *closure) content(name string, origins map[objectKey]origin, words *vocabulary, c *problems) ([]byte, error) {
	as := k.roles[name]
	if as&roleKustomization != 0 {
		if as&^roleKustomization != 0 {
			return nil, refuse(Problem{Reason: ReasonInvalidKustomization, File: name,
				Message: "a kustomization file is used as something else, too", Fix: "use a copy"})
		}
		return nil, nil // written from the struct
	}
	data, err := k.r.read(name)
	if err != nil {
		return nil, err
	}
	words.path(name)
	if as&roleText == 0 {
		return data, nil
	}
	docs, bad := parseFile(name, data)
	if len(bad) > 0 {
		c.add(bad...)
		return nil, nil
	}
	found, _ := splitObjects(name, docs)
	for _, it := range found {
		key := objectKey{it.gk, it.name()}
		if _, twice := origins[key]; !twice {
			origins[key] = origin{it.file, it.line}
		}
		words.object(it)
	}
	if as&roleData != 0 {
		if as&rolePlugin != 0 {
			return nil, refuse(Problem{Reason: ReasonInvalidKustomization, File: name,
				Message: "the configuration of a plugin is used as data, too", Fix: "use a copy"})
		}
		return data, nil
	}
	return canonicalYAML(docs)
}

// canonicalYAML writes documents as JSON, which is YAML that every parser reads in the same way.
func canonicalYAML(docs []document) ([]byte, error) {
	parts := make([][]byte, 0, len(docs))
	for _, d := range docs {
		data, err := canonicalJSON(d.value)
		if err != nil {
			return nil, err
		}
		parts = append(parts, yamlSafe(data))
	}
	return bytes.Join(parts, []byte("\n---\n")), nil
}

// yamlSafe escapes the characters that JSON allows in a string and YAML does not.
func yamlSafe(data []byte) []byte {
	if !bytes.ContainsFunc(data, notYAML) {
		return data
	}
	var b bytes.Buffer
	for _, r := range string(data) {
		if notYAML(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

func notYAML(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r == 0xfeff || r == 0xfffe || r == 0xffff
}

// customSchema reports whether the build changes the global schema.
func (k *closure) customSchema() bool {
	for _, d := range k.dirs {
		if len(d.k.OpenAPI) > 0 {
			return true
		}
	}
	return false
}

// runKustomize is the only place that calls kustomize. Paths are not restricted to the folder, as in Flux: the
// in-memory file system holds nothing but files of the closure.
func runKustomize(mem filesys.FileSystem, dir string, customSchema bool) (objects []built, err error) {
	kustomizeLock.Lock()
	defer kustomizeLock.Unlock()
	defer func() {
		if r := recover(); r != nil {
			objects, err = nil, fmt.Errorf("panic in kustomize")
		}
	}()
	if customSchema {
		// Such a schema adds to the built-in one, and must be gone before the next build.
		openapi.ResetOpenAPI()
		_ = openapi.Schema()
		defer openapi.ResetOpenAPI()
	}
	result, err := krusty.MakeKustomizer(&krusty.Options{
		Reorder:          krusty.ReorderOptionNone,
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(mem, dir)
	if err != nil {
		return nil, err
	}
	for _, res := range result.Resources() {
		id := res.OrgId()
		b := built{key: objectKey{schema.GroupKind{Group: id.Group, Kind: id.Kind}, id.Name}}
		b.value, b.err = res.Map()
		objects = append(objects, b)
	}
	return objects, nil
}

// built is an object as kustomize has built it.
type built struct {
	// key is what it is called in its file.
	key   objectKey
	value map[string]any
	// err is set when it cannot be written as plain values.
	err error
}

// items makes items of kustomize's result.
func (k *closure) items(result []built, origins map[objectKey]origin, c *problems) []*item {
	file := k.dirs[k.root].file
	if len(result) > maxObjects {
		c.add(Problem{Reason: ReasonLimitExceeded, File: file, Message: fmt.Sprintf("more than %d objects", maxObjects),
			Fix: "split the path into several tracks"})
		return nil
	}
	var items []*item
	for _, b := range result {
		from := origin{file: file}
		if o, ok := origins[b.key]; ok {
			from = o
		}
		if b.err == nil {
			if v, ok := plainValue(b.value); ok {
				items = appendItem(items, c, from.file, from.line, v.(map[string]any))
				continue
			}
		}
		c.add(Problem{Reason: ReasonInvalidObject, File: from.file, Line: from.line,
			Message: "the object cannot be written as JSON"})
	}
	return items
}
