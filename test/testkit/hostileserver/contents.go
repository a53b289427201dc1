package hostileserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
)

// Packs is what is wrong with a pack.
func Packs(of Files) map[string]Case {
	out := map[string]Case{}
	var files map[string]string
	with := func(name string, c Case, build func(*Pack) (head string)) {
		p := &Pack{}
		files = of(name)
		c.Script = &Script{Head: build(p)}
		c.Pack = p.Bytes()
		out[name] = c
	}
	changed := func(name string, c Case, change func([]byte) []byte) {
		c.Script = Good(of(name))
		c.Pack = change(c.Pack)
		out[name] = c
	}
	// file is a commit with one more file, of which only the id is known.
	file := func(p *Pack, id string) string {
		return p.AddCommit(p.AddTree(Entry{"40000", "deploy", p.AddTree(Entry{"100644", "web.yaml", id})}))
	}
	damaged := Case{Reason: unexpected, Says: []string{"damaged pack"}}
	changed("truncated-pack", damaged, func(b []byte) []byte { return b[:len(b)-30] })
	changed("wrong-checksum", damaged, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	changed("flipped-bit", damaged, func(b []byte) []byte { b[20] ^= 4; return b })
	changed("more-objects-than-there-are", damaged, func(b []byte) []byte { b[11]++; return b })
	changed("four-billion-objects", Case{Reason: limit, Says: []string{"4294967295", "objects"}}, func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[8:], 1<<32-1)
		return b
	})
	with("thin-pack", damaged, func(p *Pack) string {
		p.AddRefDelta(ID(Blob, []byte("elsewhere")), Insert(9, "x"))
		return p.AddFiles(files)
	})
	with("delta-of-itself", damaged, func(p *Pack) string {
		p.AddOfsDelta(packHeader, Insert(4, "x"))
		return p.AddFiles(files)
	})
	with("delta-cycle", damaged, func(p *Pack) string {
		a, b := ID(Blob, []byte("a")), ID(Blob, []byte("b"))
		p.AddRefDelta(b, Insert(1, "a"))
		p.AddRefDelta(a, Insert(1, "b"))
		return p.AddFiles(files)
	})
	with("delta-of-a-gigabyte", Case{Reason: limit, Refused: true, Says: []string{"size of a file", "deploy/web.yaml"}}, func(p *Pack) string {
		base := p.AddRaw(Blob, 4, nil, strings.NewReader("base"))
		huge := binary.AppendUvarint(binary.AppendUvarint(nil, 4), 1<<30)
		p.AddOfsDelta(base, append(huge, 1, 'x'))
		return file(p, strings.Repeat("ab", 20))
	})
	with("chain-of-5000-deltas", Case{Reason: limit, Refused: true, Says: []string{"delta chain", "4095"}}, func(p *Pack) string {
		at, last := p.AddRaw(Blob, 4, nil, strings.NewReader("base")), ""
		for i := range 5000 {
			last = fmt.Sprintf("%04d", i)
			at = p.AddOfsDelta(at, Insert(4, last))
		}
		return file(p, ID(Blob, []byte(last)))
	})
	with("zlib-bomb", Case{Reason: limit, Refused: true, Says: []string{"deploy/web.yaml", fmt.Sprint(64 << 20)}}, func(p *Pack) string {
		return file(p, p.AddZeros(64<<20))
	})
	with("size-lies", damaged, func(p *Pack) string {
		p.AddRaw(Blob, 10, nil, Zeros(1<<20))
		return p.AddFiles(files)
	})
	with("same-object-twice", Case{}, func(p *Pack) string {
		for _, name := range sorted(files) {
			p.Add(Blob, []byte(files[name]))
		}
		return p.AddFiles(files)
	})
	untrue(with, file, func() map[string]string { return files })
	return out
}

// untrue packs are whole, and do not hold what was asked for or what refers to it says.
func untrue(with func(string, Case, func(*Pack) string), file func(*Pack, string) string, files func() map[string]string) {
	with("other-commit-than-asked", Case{Reason: refNotFound, Says: []string{"no longer has commit"}}, func(p *Pack) string {
		p.AddFiles(files())
		return ID(Commit, []byte("another"))
	})
	with("other-content-for-an-id", Case{Reason: corrupt, Says: []string{"missing"}}, func(p *Pack) string {
		p.Add(Blob, []byte("not what the id promises"))
		return file(p, ID(Blob, []byte("what the id promises")))
	})
	with("tree-is-a-file", Case{Reason: unsafeTree, Refused: true, Says: []string{"is a blob where a tree is expected"}}, func(p *Pack) string {
		return p.AddCommit(p.Add(Blob, []byte("x")))
	})
	with("commit-is-a-file", Case{Reason: unsafeTree, Says: []string{"is a blob where a commit is expected"}}, func(p *Pack) string {
		return p.Add(Blob, []byte("x"))
	})
	with("two-trees-in-a-commit", Case{Reason: unsafeTree, Says: []string{"header"}}, func(p *Pack) string {
		good := p.AddTree()
		content := CommitOf(good)
		return p.Add(Commit, append([]byte("tree "+good+"\n"), content...))
	})
	with("huge-commit", Case{Reason: limit, Says: []string{"at most 1048576"}}, func(p *Pack) string {
		return p.Add(Commit, append(CommitOf(p.AddTree()), bytes.Repeat([]byte("x"), 2<<20)...))
	})
}

// HugeBlob is a file of the size in the path.
func HugeBlob(size int64) *Script {
	p := &Pack{}
	id := p.AddZeros(size)
	head := p.AddCommit(p.AddTree(Entry{"40000", "deploy", p.AddTree(Entry{"100644", "web.yaml", id})}))
	return &Script{Head: head, Pack: p.Bytes()}
}

// Trees is what a commit may hold that no decent client would have written. What is hostile is beside good files in the folder "deploy".
func Trees(of Files) map[string]Case {
	out := map[string]Case{}
	with := func(name string, c Case, build func(p *Pack, good []Entry) []Entry) {
		p, files := &Pack{}, of(name)
		var good []Entry
		for _, file := range sorted(files) {
			good = append(good, Entry{"100644", file, p.Add(Blob, []byte(files[file]))})
		}
		entries := build(p, good)
		c.Script = &Script{Head: p.AddCommit(p.AddTree(Entry{"40000", "deploy", p.AddTree(entries...)}))}
		c.Pack = p.Bytes()
		out[name] = c
	}
	tree := Case{Reason: unsafeTree, Refused: true}
	// first has one more entry before the good ones, last behind them.
	first := func(mode, name string) func(*Pack, []Entry) []Entry {
		return func(p *Pack, good []Entry) []Entry {
			return append([]Entry{{mode, name, p.Add(Blob, []byte("x"))}}, good...)
		}
	}
	for name, entry := range map[string]string{"dot-git": ".git", "dot-git-in-capitals": ".GIT", "dot-git-with-a-dot": ".git.", "hidden-joiner": ".g\u200cit",
		"parent": "..", "backslashes": `..\..\x`, "slashes": "..\x2f..\x2fb", "newline": "\n.yaml", "ansi": "\x1b[31m.yaml"} {
		with("name-"+name, tree, first("100644", entry))
	}
	for name, entry := range map[string]string{"short-name": "git~1", "right-to-left": "z\u202elmay.a", "not-utf-8": "z\xff.yaml", "256-bytes": strings.Repeat("z", 256)} {
		with("name-"+name, tree, func(p *Pack, good []Entry) []Entry {
			entries := append(good, Entry{"100644", entry, p.Add(Blob, []byte("x"))})
			return byName(entries)
		})
	}
	with("git-config", tree, func(p *Pack, good []Entry) []Entry {
		inner := p.AddTree(Entry{"100644", "config", p.Add(Blob, []byte("[core]\n\tsshCommand = evil\n"))})
		return append([]Entry{{"40000", ".git", inner}}, good...)
	})
	with("same-name-twice", tree, func(_ *Pack, good []Entry) []Entry { return append(good, good[len(good)-1]) })
	with("unsorted", tree, func(p *Pack, good []Entry) []Entry { return append([]Entry{{"100644", "zz", good[0].ID}}, good...) })
	with("mode-0777", tree, first("100777", "a"))
	with("mode-of-a-socket", tree, first("140000", "a"))
	link := Case{Reason: "NotRegularFile", Refused: true, Says: []string{"deploy/a.yaml"}}
	for name, target := range map[string]string{"token": "/var/run/secrets/kubernetes.io/serviceaccount/token", "outside": "../../x", "cycle": "a.yaml"} {
		with("link-to-"+name, link, func(p *Pack, good []Entry) []Entry {
			return append([]Entry{{"120000", "a.yaml", p.Add(Blob, []byte(target))}}, good...)
		})
	}
	with("submodule", Case{Reason: "NotRegularFile", Refused: true, Says: []string{"deploy/module", "submodule"}}, func(p *Pack, good []Entry) []Entry {
		evil := "[submodule \"../../x\"]\n\tpath = module\n\turl = --upload-pack=touch /tmp/evil\n[submodule \"b\"]\n\turl = file:///etc\n"
		return byName(append(good, Entry{"100644", ".gitmodules", p.Add(Blob, []byte(evil))}, Entry{"160000", "module", strings.Repeat("ab", 20)}))
	})
	odd(with)
	return out
}

// odd is what is in order for Git: pointers, attributes, long names and very many files.
func odd(with func(string, Case, func(*Pack, []Entry) []Entry)) {
	with("git-lfs-pointer", Case{Reason: "NotRegularFile", Refused: true, Plain: true, Says: []string{"deploy/a.yaml", "Git LFS"}}, func(p *Pack, good []Entry) []Entry {
		pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("4d", 32) + "\nsize 12345\n"
		return append([]Entry{{"100644", "a.yaml", p.Add(Blob, []byte(pointer))}}, good...)
	})
	with("git-attributes", Case{}, func(p *Pack, good []Entry) []Entry {
		attributes := "* export-ignore filter=evil eol=crlf text diff=evil merge=evil\n*.yaml export-subst\n"
		return byName(append(good, Entry{"100644", ".gitattributes", p.Add(Blob, []byte(attributes))}))
	})
	with("255-bytes-of-umlauts", Case{}, func(p *Pack, good []Entry) []Entry {
		name := strings.Repeat("ä", 125) + ".yaml"
		return append(good, Entry{"100644", name, p.Add(Blob, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: umlauts\n"))})
	})
	with("200000-files", Case{Reason: limit, Refused: true}, func(p *Pack, _ []Entry) []Entry {
		var entries []Entry
		var ids []string // not one for each file: it is the files that count
		for i := range 10_000 {
			ids = append(ids, p.Add(Blob, fmt.Appendf(nil, "# %d", i)))
		}
		for i := range 200_000 {
			entries = append(entries, Entry{"100644", fmt.Sprintf("%06d.yaml", i), ids[i%len(ids)]})
		}
		return entries
	})
	with("4000-folders-deep", Case{Reason: limit, Refused: true, Says: []string{"depth", "64"}}, func(p *Pack, good []Entry) []Entry {
		id := p.AddTree(good...)
		for range 4000 {
			id = p.AddTree(Entry{"40000", "d", id})
		}
		return []Entry{{"40000", "d", id}}
	})
	with("folders-of-folders", Case{Reason: limit, Refused: true, Says: []string{"folders", "5000"}}, func(p *Pack, _ []Entry) []Entry {
		id := p.AddTree()
		for range 10 {
			var entries []Entry
			for i := range 10 {
				entries = append(entries, Entry{"40000", fmt.Sprintf("e%d", i), id})
			}
			id = p.AddTree(entries...)
		}
		return []Entry{{"40000", "d", id}}
	})
}

// Of is all that a repository may hold or a server may do, whatever way it is asked.
func Of(files Files) map[string]Case {
	out := Transport(files)
	maps.Copy(out, Packs(files))
	maps.Copy(out, Trees(files))
	return out
}

// byName brings entries into Git's order.
func byName(entries []Entry) []Entry {
	index := map[string]Entry{}
	for _, e := range entries {
		key := e.Name
		if e.Mode == "40000" {
			key += "/"
		}
		index[key] = e
	}
	var out []Entry
	keys := map[string]string{}
	for key := range maps.Keys(index) {
		keys[key] = ""
	}
	for _, key := range sorted(keys) {
		out = append(out, index[key])
	}
	return out
}
