package render

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// closure is everything that a kustomize build reads, found before it runs. The build sees these files and no others.
type closure struct {
	r     *reader
	c     *problems
	root  string
	dirs  map[string]*kustDir
	roles map[string]role
	named []*item // objects in inline patches, for the names that kustomize's errors repeat
}

// kustDir is one folder with a kustomization file.
type kustDir struct {
	file    string // the kustomization file
	k       types.Kustomization
	bases   []string   // folders that it uses, as often as it uses them
	files   []string   // files that it uses
	inlined int        // bytes of the kustomization file itself
	node    *yaml.Node // for the lines of its fields; nil when the file is generated
}

// role says how kustomize reads a file.
type role uint8

const (
	// roleText files are parsed by kustomize. They are parsed here first, and it gets what was understood.
	roleText role = 1 << iota
	// roleData files become values of a ConfigMap or Secret, byte for byte.
	roleData
	// rolePlugin files configure a plugin.
	rolePlugin
	// roleKustomization files steer the build.
	roleKustomization
	// roleResource files, beside roleText, hold objects and not changes of objects.
	roleResource
)

// Closure returns the repository paths whose change can change the result of Build: the path itself, and for
// kustomize the folders and files outside it that it uses. The list is sorted, and a path below another one is left
// out. When the commit is broken, the list holds what was found until then, and the error is the one of Build.
func Closure(repo fs.FS, path string) ([]string, error) {
	var c problems
	dir, err := repoPath(path)
	if err != nil {
		if err = c.take(err); err == nil {
			err = c.err()
		}
		return nil, err
	}
	paths := []string{dir}
	k, _, err := scan(newReader(repo), dir, &c)
	if err != nil {
		return paths, err
	}
	if k != nil {
		paths = append(paths, slices.Collect(maps.Keys(k.dirs))...)
		paths = append(paths, slices.Collect(maps.Keys(k.roles))...)
	}
	return withoutNested(paths), c.err()
}

func withoutNested(paths []string) []string {
	slices.Sort(paths)
	var out []string
	for _, p := range slices.Compact(paths) {
		if !slices.ContainsFunc(out, func(up string) bool { return below(p, up) }) {
			out = append(out, p)
		}
	}
	return out
}

// below reports whether a path is the folder or in it.
func below(p, dir string) bool {
	return dir == "." || p == dir || strings.HasPrefix(p, dir+"/")
}

// scan finds out how a folder is to be read: with kustomize (a closure), or as plain files.
func scan(r *reader, dir string, c *problems) (*closure, []string, error) {
	m, err := r.mode(dir)
	if err == nil && !m.IsDir() {
		err = notRegular(dir, m)
	}
	if err != nil {
		return nil, nil, c.take(err)
	}
	k := &closure{r: r, c: c, root: dir, dirs: map[string]*kustDir{}, roles: map[string]role{}}
	found, err := kustomizationFile(r, dir)
	if err != nil {
		return nil, nil, err
	}
	if found {
		return k, nil, k.folder(dir, nil)
	}
	f, err := walkFolder(r, dir, c)
	if err != nil || len(f.kustomized) == 0 {
		return nil, f.files, err
	}
	return k, nil, k.generated(dir, f)
}

// generated makes the kustomization file that Flux makes for a plain folder with kustomized subfolders.
func (k *closure) generated(dir string, f folder) error {
	d := &kustDir{file: path.Join(dir, konfig.DefaultKustomizationFileName())}
	for _, name := range append(slices.Clone(f.files), f.kustomized...) {
		rel := name
		if dir != "." {
			rel = strings.TrimPrefix(name, dir+"/")
		}
		d.k.Resources = append(d.k.Resources, "./"+rel)
	}
	d.k.FixKustomization()
	k.dirs[dir] = d
	return k.entries(dir, d, []string{dir})
}

// folder adds a folder with a kustomization file and all that it uses. chain are the folders that led here.
func (k *closure) folder(dir string, chain []string) error {
	if _, seen := k.dirs[dir]; seen {
		return nil
	}
	d, err := k.readKustomization(dir)
	if err != nil || d == nil {
		return k.c.take(err)
	}
	k.dirs[dir] = d
	return k.entries(dir, d, append(slices.Clone(chain), dir))
}

// readKustomization reads the one kustomization file of a folder. From here on only what is in the struct counts: it
// is also what kustomize is given.
func (k *closure) readKustomization(dir string) (*kustDir, error) {
	var names []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		found, err := k.r.exists(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if found {
			names = append(names, name)
		}
	}
	bad := func(file, message, fix string) error {
		return refuse(Problem{Reason: ReasonInvalidKustomization, File: file, Message: message, Fix: fix})
	}
	switch {
	case len(names) == 0:
		return nil, bad(dir, "the folder is used as a base and has no kustomization file", "add one, or name its files")
	case len(names) > 1:
		return nil, bad(dir, "more than one kustomization file: "+strings.Join(names, ", "), "keep one of them")
	}
	d := &kustDir{file: path.Join(dir, names[0])}
	data, err := k.r.read(d.file)
	if err != nil {
		return nil, err
	}
	d.inlined = len(data)
	k.roles[d.file] |= roleKustomization
	docs, problems := parseFile(d.file, data)
	if len(problems) > 0 {
		k.c.add(problems...)
		return nil, nil
	}
	if len(docs) != 1 {
		return nil, bad(d.file, fmt.Sprintf("%d documents in a kustomization file", len(docs)), "write one")
	}
	d.node = docs[0].node
	canonical, err := canonicalJSON(docs[0].value)
	if err != nil {
		return nil, bad(d.file, "not a kustomization", "")
	}
	if err := d.k.Unmarshal(yamlSafe(canonical)); err != nil {
		return nil, bad(d.file, kustomizationError(err), "see the reference of kustomization files")
	}
	modernize(&d.k)
	return d, nil
}

// modernize replaces deprecated fields where the meaning stays the same. kustomize writes a warning to standard error
// for those that are left.
func modernize(k *types.Kustomization) {
	k.FixKustomization()
	if len(k.CommonLabels) > 0 && len(k.Configurations) == 0 {
		k.Labels = append(k.Labels, types.Label{Pairs: k.CommonLabels, IncludeSelectors: true})
		k.CommonLabels = nil
	}
}

// use records that a folder uses a file in a role.
func (k *closure) use(d *kustDir, name string, as role) {
	d.files = append(d.files, name)
	k.roles[name] |= as
}

// base follows a folder that is used by another one.
func (k *closure) base(d *kustDir, field, name string, chain []string) error {
	for _, up := range chain {
		if below(up, name) {
			return k.c.take(refuse(Problem{Reason: ReasonCyclicBase, File: d.file, Line: fieldLine(d.node, field), Field: field,
				Message: "the folder contains the one that uses it", Fix: "put what both need in a folder of its own"}))
		}
	}
	d.bases = append(d.bases, name)
	return k.folder(name, chain)
}

// refused reports a problem of an entry of a kustomization file.
func (k *closure) refused(d *kustDir, field, reason, message, fix string) {
	k.c.add(Problem{Reason: reason, File: d.file, Line: fieldLine(d.node, field), Field: field, Message: message, Fix: fix})
}

// locate resolves an entry to an existing path of the repository.
func (k *closure) locate(d *kustDir, field, entry string) (name string, isDir bool, err error) {
	if remote(entry) {
		k.refused(d, field, ReasonRemoteBase, "is not in this commit: "+withoutCredentials(entry),
			"copy it into the repository: a release contains nothing that can change without a commit")
		return "", false, nil
	}
	name = path.Join(path.Dir(d.file), entry)
	if path.IsAbs(entry) || entry == "" || !fs.ValidPath(name) {
		k.refused(d, field, ReasonPathEscapes, "leads out of the repository", "use a relative path within it")
		return "", false, nil
	}
	m, err := k.r.mode(name)
	if err == nil && !m.IsDir() && !m.IsRegular() {
		err = notRegular(name, m)
	}
	var r *refusal
	if errors.As(err, &r) {
		k.refused(d, field, r.problem.Reason, r.problem.File+" "+strings.TrimPrefix(r.problem.Message, "is "), r.problem.Fix)
		return "", false, nil
	}
	return name, err == nil && m.IsDir(), err
}
