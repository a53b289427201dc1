package render

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
)

// entry is one place of a kustomization file, or of a plugin's configuration, at which kustomize reads a file or text.
type entry struct {
	field string
	value string
	how   reading
	set   func(string) // replaces inline text by what was understood of it
}

// reading is how kustomize understands an entry.
type reading int

const (
	readResource reading = iota // a file, or a folder with a kustomization file
	readFolder                  // a folder with a kustomization file
	readText                    // a file that is parsed
	readData                    // a file that is taken as it is
	readKeyData                 // the same with an optional "key="
	readInline                  // text that is parsed
	readEither                  // text that is parsed, or the name of a file with it
	readPlugin                  // configuration of a plugin: text, or the name of a file with it
)

// entriesOf lists the entries of a kustomization file. It is the whole list: kustomize loads through these fields
// only (and through those of plugins.go).
func entriesOf(k *types.Kustomization) []entry {
	var list []entry
	add := func(field string, how reading, p *string) {
		if *p != "" || how == readResource || how == readFolder {
			list = append(list, entry{field, *p, how, func(s string) { *p = s }})
		}
	}
	all := func(field string, how reading, values []string) {
		for i := range values {
			add(fmt.Sprintf("%s[%d]", field, i), how, &values[i])
		}
	}
	all("resources", readResource, k.Resources)
	all("components", readFolder, k.Components)
	all("crds", readText, k.Crds)
	all("configurations", readText, k.Configurations)
	all("generators", readPlugin, k.Generators)
	all("transformers", readPlugin, k.Transformers)
	all("validators", readPlugin, k.Validators)
	for i := range k.PatchesStrategicMerge {
		add(fmt.Sprintf("patchesStrategicMerge[%d]", i), readEither, (*string)(&k.PatchesStrategicMerge[i]))
	}
	patches := func(field string, p []types.Patch) {
		for i := range p {
			add(fmt.Sprintf("%s[%d].path", field, i), readText, &p[i].Path)
			add(fmt.Sprintf("%s[%d].patch", field, i), readInline, &p[i].Patch)
		}
	}
	patches("patches", k.Patches)
	patches("patchesJson6902", k.PatchesJson6902)
	for i := range k.Replacements {
		add(fmt.Sprintf("replacements[%d].path", i), readText, &k.Replacements[i].Path)
	}
	generator := func(field string, g *types.GeneratorArgs) {
		all(field+".files", readKeyData, g.FileSources)
		all(field+".envs", readData, g.EnvSources)
	}
	for i := range k.ConfigMapGenerator {
		generator(fmt.Sprintf("configMapGenerator[%d]", i), &k.ConfigMapGenerator[i].GeneratorArgs)
	}
	for i := range k.SecretGenerator {
		generator(fmt.Sprintf("secretGenerator[%d]", i), &k.SecretGenerator[i].GeneratorArgs)
	}
	if schema := k.OpenAPI["path"]; schema != "" {
		list = append(list, entry{"openapi.path", schema, readText, nil})
	}
	return list
}

// entries follows all entries of a kustomization file.
func (k *closure) entries(dir string, d *kustDir, chain []string) error {
	if len(d.k.HelmCharts) > 0 || d.k.HelmGlobals != nil {
		k.refused(d, "helmCharts", ReasonPluginRefused, "Helm charts come from outside the commit and run a program",
			"render the chart and commit the result")
	}
	for _, e := range entriesOf(&d.k) {
		if err := k.follow(dir, d, e, chain); err != nil {
			return err
		}
	}
	return nil
}

func (k *closure) follow(dir string, d *kustDir, e entry, chain []string) error {
	switch e.how {
	case readInline:
		k.inline(d, e)
		return nil
	case readEither:
		if isInline(e.value) {
			k.inline(d, e)
			return nil
		}
	case readPlugin:
		return k.plugin(dir, d, e, chain)
	case readKeyData:
		// [key=]path, exactly as kustomize splits it.
		if key, file, found := strings.Cut(e.value, "="); found && !remote(e.value) {
			if key == "" || strings.Contains(file, "=") {
				k.refused(d, e.field, ReasonInvalidKustomization, "not of the form [key=]path", "")
				return nil
			}
			e.value = file
		}
	default: // a path as it is
	}
	name, isDir, err := k.locate(d, e.field, e.value)
	switch {
	case err != nil || name == "":
		return err
	case isDir && (e.how == readResource || e.how == readFolder):
		return k.base(d, e.field, name, chain)
	case isDir || e.how == readFolder:
		k.refused(d, e.field, ReasonNotRegularFile, path.Clean(e.value)+" is not what is needed here", "")
	case e.how == readData || e.how == readKeyData:
		k.use(d, name, roleData)
	case e.how == readResource:
		k.use(d, name, roleText|roleResource)
	default:
		k.use(d, name, roleText)
	}
	return nil
}

// isInline reports whether an entry is text and not the name of a file.
func isInline(s string) bool {
	return strings.ContainsAny(s, "\n{")
}

// inline parses text within a kustomization file and replaces it by what was understood of it.
func (k *closure) inline(d *kustDir, e entry) []document {
	docs, bad := parseFile(d.file, []byte(e.value))
	for i := range bad {
		bad[i].Line, bad[i].Field = fieldLine(d.node, e.field), e.field
	}
	k.c.add(bad...)
	if len(bad) > 0 {
		return nil
	}
	text, err := canonicalYAML(docs)
	if err != nil {
		k.refused(d, e.field, ReasonInvalidYAML, "cannot be written as JSON", "")
		return nil
	}
	e.set(string(text))
	named, _ := splitObjects(d.file, docs)
	k.named = append(k.named, named...)
	return docs
}
