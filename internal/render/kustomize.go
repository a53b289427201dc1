package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// origin is where an object of Git is written; kustomize itself does not keep it.
type origin struct {
	file string
	line int
}

// build returns what kustomize makes of the closure, from the cache when the same files were built before.
func (k *closure) build(c *problems, cache *Cache) ([]*item, error) {
	if cache == nil {
		objects, err := k.run(c)
		return k.items(objects, c), err
	}
	key, err := k.key()
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		return k.build(c, nil) // which finds out what else is wrong
	} else if err != nil {
		return nil, err
	}
	objects, err := cache.get(key, func() ([]builtObject, error) {
		var own problems
		objects, err := k.run(&own)
		if err == nil {
			err = own.err()
		}
		return objects, err
	})
	var failed *Error
	if errors.As(err, &failed) {
		c.add(failed.Problems...)
		c.omitted += failed.Omitted
		return nil, nil
	}
	return k.items(objects, c), err
}

// run writes what was checked into an in-memory file system and runs kustomize on it.
func (k *closure) run(c *problems) ([]builtObject, error) {
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
		data, err := d.written()
		if err != nil {
			return nil, err
		}
		mem.add(d.file, data)
		words.path(d.file)
	}
	room := k.checkWeight(longest, c)
	if c.any() {
		return nil, nil
	}
	defer kustomizeRoom.take(room)()
	result, err := runKustomize(mem, path.Join("/", k.root), k.customSchema())
	if err != nil {
		c.add(k.failure(err, words))
		return nil, nil
	}
	return k.built(result, origins, c), nil
}

// written is the kustomization file that kustomize is given.
func (d *kustDir) written() ([]byte, error) {
	data, err := json.Marshal(d.k)
	if err != nil {
		return nil, fmt.Errorf("writing the kustomization of %q: %w", d.file, err)
	}
	return yamlSafe(data), nil
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
	if as&roleResource != 0 {
		c.add(unnamed(name, docs)...)
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
	defer schemaFor(customSchema)()
	defer func() {
		if r := recover(); r != nil {
			objects, err = nil, fmt.Errorf("panic in kustomize")
		}
	}()
	result, err := krusty.MakeKustomizer(&krusty.Options{
		Reorder:          krusty.ReorderOptionNone,
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(mem, dir)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, res := range result.Resources() {
		id := res.OrgId()
		b := built{key: objectKey{schema.GroupKind{Group: id.Group, Kind: id.Kind}, id.Name}}
		b.json, b.err = plainJSON(res)
		if total += len(b.json); total > maxBuiltBytes {
			return nil, errBuiltTooMuch
		}
		objects = append(objects, b)
	}
	return objects, nil
}

// built is an object as kustomize has built it.
type built struct {
	// key is what it is called in its file.
	key objectKey
	// json is canonical.
	json []byte
	// err is set when it cannot be written as plain values.
	err error
}

// errBuiltTooMuch: small files can ask for much, such as a long annotation on all objects.
var errBuiltTooMuch = refuse(Problem{Reason: ReasonLimitExceeded, Fix: "split the path into several tracks",
	Message: fmt.Sprintf("kustomize makes more than %d MiB of objects", maxBuiltBytes>>20)})

// builtObject is the same as canonical JSON, with where it is written in Git. It is shared by all that use the cache, and nobody
// can change it.
type builtObject struct {
	origin
	json []byte
}

// built checks kustomize's result.
func (k *closure) built(result []built, origins map[objectKey]origin, c *problems) []builtObject {
	file := k.dirs[k.root].file
	if len(result) > maxObjects {
		c.add(Problem{Reason: ReasonLimitExceeded, File: file, Message: fmt.Sprintf("more than %d objects: %d", maxObjects, len(result)),
			Fix: "split the path into several tracks"})
		return nil
	}
	objects := make([]builtObject, 0, len(result))
	for _, b := range result {
		from, ok := origins[b.key]
		if !ok {
			from = origin{file: file}
		}
		if b.err != nil {
			c.add(Problem{Reason: ReasonInvalidObject, File: from.file, Line: from.line,
				Message: "the object cannot be written as JSON"})
			continue
		}
		objects = append(objects, builtObject{from, b.json})
	}
	return objects
}

func plainJSON(res *resource.Resource) ([]byte, error) {
	m, err := res.Map()
	if err != nil {
		return nil, err
	}
	v, ok := plainValue(m)
	if !ok {
		return nil, errors.New("not plain values")
	}
	return canonicalJSON(v)
}

// items makes items of what was built. Each caller gets values of its own.
func (k *closure) items(objects []builtObject, c *problems) []*item {
	var items []*item
	for _, o := range objects {
		var m map[string]any
		if err := utiljson.Unmarshal(o.json, &m); err != nil {
			c.add(Problem{Reason: ReasonInvalidObject, File: o.file, Line: o.line, Message: "the object cannot be written as JSON"})
			continue
		}
		items = appendItem(items, c, o.file, o.line, m)
	}
	return items
}
