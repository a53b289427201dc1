package render

import (
	"errors"
	"path"
	"regexp"
	"strings"
)

// kustomize's errors quote what they stumble over, and that may be a Secret. Only words that kustomize itself is known
// to write, and paths and names of the repository, are let through; everything else becomes an ellipsis.

// kustomizeWords are the words of kustomize's error messages.
const kustomizeWords = `
a accumulate accumulated accumulating accumulation add adding after all already also an and annotation annotations any
apply applying array as at base bases be behavior build builtin but by can cannot changed cluster component components
config configmap configmaps configuration conflict conflicts contain contains could create crd crds cycle detected
directory does doc document duplicate either elements empty entry env environment err error every exactly exist exists
expected expecting fail failed fails field fieldpath fieldref fieldspec fields file files fill filter find first for
found from function generator generators generating get given got group has have id ids illegally image in index
invalid is it item items json json6902 key keys kind kustomization kustomize kustomization.yaml kustomization.yml label
labels line list literal load loading make making malformed map mapping match matched matches matching merge merging
metadata missing more multiple must name named names namespace namespaces new no node not nothing object objects of
old one only op operation operations or original panic parse parsing patch patches path paths plugin possible prefix
qualifies read recursed reference references registered remove replace replacement replacements resmap resource
resources root same scalar schema secret secretgenerator secrets selector sequence set source sources specified
specify strategic string strings suffix target targets test than that the there this to too transform transformer
transformers trying type types unable undefined unique unknown unmarshal unset use used validate validators value
values var variable vars version was while with within without wrong yaml
sm apiversion data metadata.name nogrp nover nokind noname nons non-unique targets's resid
allowed ambiguous attempt back because been before both builds byte bytes called cause character characters content
converting decode decoding definition delete deleting denied descend destination document's does either empty exists
file's files folder format generated go got grouped had holds hash identified ids illegal illegally immutable includes
inherit inline input inside internal into key's kinds kv length level loaded loader local map maps marshal marshaling
merged name-reference names.namespace nested nil node's nonexistent null number object's one op's openapi option options
out outside over own packages pair pairs part permitted position possible prefixed previously problem provided read
reading recursed recursive ref references refers refvar rename repeats replaced replacing required resolve resolved
resolving rnode rule rules same schema-less scope seek select selected selectors should skip sort sources spec split
start status still stream strict struct structs sub such suffixed supported syntax tag tags target's template test testing
text token top traverse tree two typed unexpected unhandled unmarshaling unmarshalling unresolved unsupported url
using utf8 v1 validating validation walk warning when where which whole will works write writing yaml's`

// maxScrubbed is the longest part of a foreign message that is kept.
const maxScrubbed = 400

// vocabulary is what may be repeated of a message.
type vocabulary struct{ words map[string]bool }

func newVocabulary() *vocabulary {
	v := &vocabulary{words: map[string]bool{}}
	for _, w := range strings.Fields(kustomizeWords) {
		v.words[w] = true
	}
	return v
}

// path makes a repository path sayable, in whole and in its parts.
func (v *vocabulary) path(name string) {
	for p := name; p != "." && p != "/"; p = path.Dir(p) {
		v.words[strings.ToLower(p)] = true
		v.words[strings.ToLower(path.Base(p))] = true
	}
}

// object makes the identity of an object sayable.
func (v *vocabulary) object(it *item) {
	gvk := it.Object.Object.GroupVersionKind()
	for _, w := range []string{it.name(), it.Object.Object.GetNamespace(), gvk.Kind, gvk.Group, gvk.Version} {
		if w != "" {
			v.words[strings.ToLower(w)] = true
		}
	}
}

var tokenPattern = regexp.MustCompile("[^\\s'\"`(){}\\[\\],;=<>|:]+")

// scrub keeps of a message what may be said.
func (v *vocabulary) scrub(message string) string {
	if len(message) > 4*maxScrubbed {
		message = message[:4*maxScrubbed]
	}
	out := tokenPattern.ReplaceAllStringFunc(message, func(token string) string {
		if v.sayable(strings.ToLower(strings.Trim(token, "./"))) {
			return token
		}
		return "…"
	})
	out = ellipses.ReplaceAllString(strings.Join(strings.Fields(out), " "), "…")
	if runes := []rune(out); len(runes) > maxScrubbed {
		out = string(runes[:maxScrubbed]) + "…"
	}
	return out
}

var ellipses = regexp.MustCompile(`…(?:[\s'"(){}\[\],;=<>|:-]*…)+`)

// sayable takes a word apart as far as needed: "Deployment.v1.apps/web.shop" is made of known words.
func (v *vocabulary) sayable(token string) bool {
	if token == "" || v.words[token] {
		return true
	}
	if len(token) > limitSubdomain {
		return false
	}
	known := make([]bool, len(token)+2) // known[i]: what is before i, and the separator before i, are sayable
	known[0] = true
	for end := 1; end <= len(token); end++ {
		if end < len(token) && token[end] != '.' && token[end] != '/' {
			continue
		}
		for start := range end {
			if known[start] && v.words[token[start:end]] {
				known[end+1] = true
				break
			}
		}
	}
	return known[len(token)+1]
}

var unknownField = regexp.MustCompile(`unknown field "([A-Za-z0-9_-]{1,64})"`)

// kustomizationError says what is wrong with a kustomization file without quoting its values.
func kustomizationError(err error) string {
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		return "unknown field " + m[1]
	}
	return newVocabulary().scrub(err.Error())
}

// failure makes a problem of kustomize's error.
func (k *closure) failure(err error, words *vocabulary) Problem {
	if limit := (*refusal)(nil); errors.As(err, &limit) {
		p := limit.problem
		p.File = k.dirs[k.root].file
		return p
	}
	p := Problem{Reason: ReasonKustomizeFailed, File: k.dirs[k.root].file, Message: words.scrub(err.Error()),
		Fix: "kustomize build shows the details; Stele does not repeat values"}
	if strings.Contains(err.Error(), "already registered id") {
		p.Reason = ReasonDuplicateObject
	}
	return p
}
