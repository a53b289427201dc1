package evidence_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

var seed = flag.Uint64("seed", 0, "of the mutations; 0: another one each time")

var mutations = flag.Uint64("mutations", 10_000, "how many")

// mutant is an export that must not verify.
type mutant struct {
	data    []byte
	earlier []evidence.Earlier
	what    string
}

// victim is an export that verifies, and what it was made of.
type victim struct {
	entries [][]byte
	files   tlog.Files
	members []member
	packed  []byte
}

// mutators change what an export says. Each takes care that it is a change: what says the same (the padding of a tar file, the text of the README with
// a list of hashes that fits, an optional file that is left out together with its line in the list, one more signature by somebody) is not made.
var mutators = map[string]func(*rand.Rand, *victim) mutant{
	"a bit": func(r *rand.Rand, v *victim) mutant {
		return v.edit(r, func(data []byte) []byte {
			data[r.IntN(len(data))] ^= 1 << r.IntN(8)
			return data
		})
	},
	"a cut": func(r *rand.Rand, v *victim) mutant {
		return v.edit(r, func(data []byte) []byte { return data[:r.IntN(len(data))] })
	},
	"bytes behind": func(r *rand.Rand, v *victim) mutant {
		return v.edit(r, func(data []byte) []byte { return append(data, make([]byte, 1+r.IntN(40))...) })
	},
	"bytes between": func(r *rand.Rand, v *victim) mutant {
		return v.edit(r, func(data []byte) []byte { return slices.Insert(data, r.IntN(len(data)), byte(r.IntN(255)+1), 0) })
	},
	"a file removed": func(r *rand.Rand, v *victim) mutant {
		members, again := slices.Clone(v.members), r.IntN(2) == 0
		i := v.pick(r, again)
		name := members[i].name
		if optional := strings.HasPrefix(name, "checkpoints/") || strings.HasPrefix(name, "proofs/") || strings.HasPrefix(name, "keys/"); optional {
			again = false
		}
		return v.pack("removed "+name, slices.Delete(members, i, i+1), again)
	},
	"a file twice": func(r *rand.Rand, v *victim) mutant {
		m := v.members[r.IntN(len(v.members))]
		return v.pack("twice "+m.name, append(slices.Clone(v.members), m), false)
	},
	"a file that does not belong": func(r *rand.Rand, v *victim) mutant {
		names := []string{"tile/0/x001/000", "tile/entries/999", "tile/9/000", "proof", "checkpoint.old", "checkpoints/0017", "proofs/01.tlog-proof", "a/../b", "/etc/passwd", "tile/0/000.p/0"}
		name := names[r.IntN(len(names))]
		return v.pack("added "+name, append(slices.Clone(v.members), member{name, v.members[r.IntN(len(v.members))].data}), true)
	},
	"files that change places": func(r *rand.Rand, v *victim) mutant {
		members := slices.Clone(v.members)
		for {
			i, k := v.pick(r, true), v.pick(r, true)
			if !bytes.Equal(members[i].data, members[k].data) {
				members[i].data, members[k].data = members[k].data, members[i].data
				return v.pack(members[i].name+" and "+members[k].name, members, true)
			}
		}
	},
	"the tar cut off": func(r *rand.Rand, v *victim) mutant {
		return mutant{data: v.packed[:r.IntN(len(v.packed))], what: "cut"}
	},
	"entries": func(r *rand.Rand, v *victim) mutant {
		forged, what := forge(r, v.entries)
		files := maps.Clone(v.files)
		// The attacker has no key: the checkpoints stay. The tiles are made to fit, or not.
		paths := bundlePaths(v.files)
		for i, path := range paths {
			from, to := min(256*i, len(forged)), min(256*(i+1), len(forged))
			if i == len(paths)-1 {
				to = len(forged)
			}
			files[path] = bundle(forged[from:to])
		}
		if r.IntN(2) == 0 {
			for path, data := range tlog.Make(testKey, forged[:min(len(forged), len(v.entries))]) {
				if strings.HasPrefix(path, "tile/") && !strings.HasPrefix(path, "tile/entries/") {
					files[path] = data
				}
			}
		}
		return v.pack(what, overlay(v.members, files), true)
	},
	"an older checkpoint": func(r *rand.Rand, v *victim) mutant {
		files := maps.Clone(v.files)
		sizes, _ := v.files.Checkpoints(ctx)
		size := sizes[r.IntN(len(sizes))]
		files["checkpoint"] = files["checkpoints/"+strconv.FormatUint(size, 10)]
		return v.pack(fmt.Sprint("back to ", size), overlay(v.members, files), true)
	},
	"signed by another": func(r *rand.Rand, v *victim) mutant {
		other := tlog.NewKey(byte(100+r.IntN(100)), tlog.Origin)
		forged, what := forge(r, v.entries)
		files := tlog.Make(other, forged)
		var b bytes.Buffer
		key, err := evidence.ParseKey(other.Public)
		if err == nil {
			_, err = evidence.Export{Keys: []evidence.Key{key}}.Write(ctx, files, &b)
		}
		if err != nil {
			panic(err)
		}
		return mutant{data: b.Bytes(), what: what}
	},
	"forks": func(r *rand.Rand, v *victim) mutant {
		n := len(v.entries)
		at := uint64(1 + r.IntN(n)) // A checkpoint of the honest log, that the auditor has kept.
		var forged [][]byte
		what := ""
		switch r.IntN(3) {
		case 0:
			forged, what = v.entries[:r.IntN(int(at))], "shorter" //nolint:gosec // small
		default:
			first := r.IntN(int(at)) //nolint:gosec // small
			forged, what = replaced(v.entries, first, another(r)), fmt.Sprintf("diverging at %d, before %d", first, at)
			for range r.IntN(3) * r.IntN(30) {
				forged = append(forged, another(r))
			}
		}
		kept := tlog.Make(testKey, v.entries[:at])[layout.CheckpointPath]
		files := tlog.Make(testKey, forged)
		m := mutant{what: what}
		if r.IntN(2) == 0 {
			files["checkpoints/"+strconv.FormatUint(at, 10)] = kept
		} else {
			m.earlier = []evidence.Earlier{{Name: "kept", Data: kept}}
		}
		// What the export would leave out, its author may have put in.
		m.data = pack(resum(append(honestExport(files, nil), extra(files, at, kept, m.earlier == nil)...)))
		return m
	},
}

func extra(files tlog.Files, at uint64, kept []byte, in bool) []member {
	if size := len(tlogEntries(files)); !in || at <= uint64(size) {
		return nil
	}
	return []member{{"checkpoints/" + strconv.FormatUint(at, 10), kept}}
}

func tlogEntries(files tlog.Files) [][]byte {
	var all [][]byte
	for _, path := range bundlePaths(files) {
		all = append(all, split(files[path])...)
	}
	return all
}

// others are entries that are in no log.
var others = func() [][]byte {
	var out [][]byte
	for i := range 200 {
		e := tlog.Entry(1 + i%50)
		e.Key += fmt.Sprint("/", i)
		out = append(out, tlog.Encode(e))
	}
	return out
}()

func another(r *rand.Rand) []byte { return others[r.IntN(len(others))] }

// forge changes a list of entries, so that another one results.
func forge(r *rand.Rand, entries [][]byte) ([][]byte, string) {
	out, i := slices.Clone(entries), r.IntN(len(entries))
	switch r.IntN(6) {
	case 0:
		return slices.Delete(out, i, i+1), fmt.Sprint("removed ", i)
	case 1:
		return slices.Insert(out, i, another(r)), fmt.Sprint("put in ", i)
	case 2:
		return slices.Insert(out, i, out[r.IntN(len(out))]), fmt.Sprint("doubled before ", i)
	case 3:
		out[i] = another(r)
		return out, fmt.Sprint("replaced ", i)
	case 4:
		data := bytes.Clone(out[i])
		data[r.IntN(len(data))] ^= 1 << r.IntN(8)
		out[i] = data
		return out, fmt.Sprint("a bit of ", i)
	default:
		if len(out) < 2 {
			return nil, "emptied"
		}
		k := (i + 1 + r.IntN(len(out)-1)) % len(out)
		out[i], out[k] = out[k], out[i]
		return out, fmt.Sprint("changed places ", i, " ", k)
	}
}

// pick a file: any, or one that says something by itself (when the list of hashes is made to fit).
func (v *victim) pick(r *rand.Rand, meaning bool) int {
	for {
		i := r.IntN(len(v.members))
		if name := v.members[i].name; !meaning || name != "README.md" && name != "SHA256SUMS" {
			return i
		}
	}
}

func (v *victim) edit(r *rand.Rand, change func([]byte) []byte) mutant {
	again := r.IntN(4) > 0
	for {
		i := v.pick(r, again)
		members := slices.Clone(v.members)
		if len(members[i].data) == 0 {
			continue
		}
		members[i].data = change(bytes.Clone(members[i].data))
		return v.pack(fmt.Sprint(members[i].name, ", list of hashes made to fit: ", again), members, again)
	}
}

func (v *victim) pack(what string, members []member, again bool) mutant {
	if again {
		members = resum(slices.Clone(members))
	}
	return mutant{data: pack(members), what: what}
}

func honestExport(files tlog.Files, prove func(uint64, entry.Entry) bool) []member {
	var b bytes.Buffer
	key, err := evidence.ParseKey(testKey.Public)
	if err == nil {
		_, err = evidence.Export{Keys: []evidence.Key{key}, Select: prove}.Write(ctx, files, &b)
	}
	if err != nil {
		panic(err)
	}
	return unpack(b.Bytes())
}

func victims() []*victim {
	var all []*victim
	for _, n := range []int{2, 3, 7, 20, 40, 258} {
		v := &victim{entries: tlog.Entries(n), files: tlog.Make(testKey, tlog.Entries(n), uint64(n/2), uint64(n-1))}
		v.members = honestExport(v.files, everyHundredth)
		v.packed = pack(v.members)
		all = append(all, v)
	}
	return all
}

// mutate makes the i-th mutant of a seed. Small logs are taken more often than the large one, which takes long.
func mutate(all []*victim, names []string, seed, i uint64) (kind string, m mutant) {
	r := rand.New(rand.NewPCG(seed, i)) //nolint:gosec // a test
	v := all[r.IntN(len(all)-1)]
	if r.IntN(40) == 0 {
		v = all[len(all)-1]
	}
	kind = names[r.IntN(len(names))]
	m = mutators[kind](r, v)
	m.what = fmt.Sprintf("%s of %d entries: %s", kind, len(v.entries), m.what)
	return kind, m
}

// Ten thousand ways to change a log, and every one of them is found.
func TestMutations(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) //nolint:gosec // a seed
	}
	t.Logf("-seed %d", *seed)
	all, names := victims(), slices.Sorted(maps.Keys(mutators))
	keys := trusted(t, testKey)
	for _, v := range all {
		if got := verify(t, v.packed, evidence.Options{Keys: keys}); !got.Verified() {
			t.Fatalf("what is changed verifies before: %s", list(got))
		}
	}
	var lock sync.Mutex
	count := map[string]int{}
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				kind, m := mutate(all, names, *seed, i)
				report := verify(t, m.data, evidence.Options{Keys: keys, Earlier: m.earlier})
				lock.Lock()
				count[kind]++
				lock.Unlock()
				if report.Verified() {
					t.Errorf("-seed %d, mutation %d was not found: %s", *seed, i, m.what)
				}
			}
		})
	}
	for i := range *mutations {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Logf("%d mutations: %v", *mutations, count)
}
