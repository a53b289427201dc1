package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"text/template"
	"time"
)

// entry is a file of an archive.
type entry struct {
	name string
	data []byte
	mode int64
}

// pack writes a tar.gz that is the same whenever and by whomever it is made.
func pack(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for _, e := range entries {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// manifest is what the template is filled with.
type manifest struct {
	Version, URI string
	Archives     []packed
}

type packed struct{ OS, Arch, File, SHA256, Binary string }

func (m *manifest) add(p platform, data []byte) {
	sum := sha256.Sum256(data)
	m.Archives = append(m.Archives, packed{p.os, p.arch, p.file(), hex.EncodeToString(sum[:]), p.binary()})
}

func (m *manifest) fill(text string) ([]byte, error) {
	t, err := template.New("stele.yaml").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, m)
	return b.Bytes(), err
}

// sums are what sha256sum --check reads.
func (m *manifest) sums() []byte {
	var b bytes.Buffer
	for _, a := range m.Archives {
		fmt.Fprintf(&b, "%s  %s\n", a.SHA256, a.File)
	}
	return b.Bytes()
}
