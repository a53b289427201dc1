package packs

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// stored adds an object that is not compressed: millions of them are made in a second.
func (b *builder) stored(typ plumbing.ObjectType, prefix, content []byte) int64 {
	offset := int64(packHeader + b.Len())
	b.count++
	if len(content) > 2000 {
		panic("two bytes of header are written")
	}
	b.WriteByte(byte(typ)<<4 | byte(len(content)&15) | 0x80)
	b.WriteByte(byte(len(content) >> 4))
	b.Write(prefix)
	b.Write([]byte{0x78, 0x01, 1, byte(len(content)), byte(len(content) >> 8), ^byte(len(content)), ^byte(len(content) >> 8)})
	b.Write(content)
	b.Write(binary.BigEndian.AppendUint32(nil, adler32.Checksum(content)))
	return offset
}

// copyDelta makes n bytes by copying the base's first 64 KiB again and again, and then a text that makes it another object.
func copyDelta(baseSize, n int, text string) []byte {
	d := binary.AppendUvarint(nil, uint64(baseSize))
	d = binary.AppendUvarint(d, uint64(n+len(text)))
	for ; n > 0; n -= 64 << 10 {
		d = append(d, 0x80) // offset 0, size 0x10000
	}
	return append(append(d, byte(len(text))), text...)
}

var hostilePacks = map[string]func(b *builder){
	"10,000 deltas that declare 1 GiB": func(b *builder) {
		at := b.blob("base")
		for range 10_000 {
			b.ofsDelta(at, append(binary.AppendUvarint(binary.AppendUvarint(nil, 4), 1<<30), 1, 'x'))
		}
	},
	"chain of 5,000": func(b *builder) {
		at := b.blob("base")
		for i := range 5000 {
			at = b.ofsDelta(at, insertDelta(4, fmt.Sprintf("%04d", i)))
		}
	},
	"chain of 4,000 by 15 MiB": func(b *builder) {
		const size = 15 << 20
		at := b.ofsDelta(b.blob(strings.Repeat("x", 64<<10)), copyDelta(64<<10, size, "0000"))
		for i := range 4000 {
			at = b.ofsDelta(at, copyDelta(size+4, size, fmt.Sprintf("%04d", i+1)))
		}
	},
	"5,000 of 15 MiB from one base": func(b *builder) {
		at := b.blob(strings.Repeat("x", 64<<10))
		for i := range 5000 {
			b.ofsDelta(at, copyDelta(64<<10, 15<<20, fmt.Sprint(i)))
		}
	},
	"bomb of 250 MiB": func(b *builder) { b.blob(strings.Repeat("\x00", 250<<20)) },
	"2,000,000 tiny objects": func(b *builder) {
		for i := range 2_000_000 {
			b.stored(plumbing.BlobObject, nil, []byte(strconv.Itoa(i)))
		}
	},
	"2,000,000 deltas by id": func(b *builder) {
		base := blobID("base")
		b.stored(plumbing.BlobObject, nil, []byte("base"))
		for i := range 1_999_999 {
			b.stored(plumbing.REFDeltaObject, base[:], insertDelta(4, strconv.Itoa(i)))
		}
	},
}

// BenchmarkHostilePacks indexes two hostile packs at the same time, for a minute at most, as a track does. Run it with GOMEMLIMIT=430MiB and
// -benchtime=1x, one at a time: what it reports is the peak of the process.
func BenchmarkHostilePacks(b *testing.B) {
	for name, build := range hostilePacks {
		b.Run(name, func(b *testing.B) {
			path := b.TempDir() + "/pack"
			func() {
				var p builder
				build(&p)
				if err := os.WriteFile(path, p.pack(), 0o600); err != nil {
					b.Fatal(err)
				}
			}()
			for b.Loop() {
				debug.FreeOSMemory()
				_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew
				var group sync.WaitGroup
				for range 2 {
					s, _ := newSet(b)
					group.Go(func() {
						f, err := os.Open(path)
						if err != nil {
							b.Error(err)
							return
						}
						defer func() { _ = f.Close() }()
						d, err := s.Download(f, Limits{Inflated: 256 << 20, Objects: 2_000_000})
						if err != nil {
							b.Error(err)
							return
						}
						ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
						defer cancel()
						start := time.Now()
						n, skipped, err := d.Install(ctx, noPace)
						b.Logf("%d bytes: %d objects, %d skipped, %v, after %v", d.Size(), n, skipped, err, time.Since(start).Round(time.Millisecond))
						_ = d.Close()
					})
				}
				group.Wait()
			}
			status, _ := os.ReadFile("/proc/self/status")
			if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(bytes.TrimSpace(status)); m != nil {
				kib, _ := strconv.ParseFloat(string(m[1]), 64)
				b.ReportMetric(kib/1024, "peak-MiB")
			}
		})
	}
}
