package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

const agent = "stele"

// advert is how a server introduces itself: in version 2 by what it can do, in version 0 by all its refs as well.
type advert struct {
	v2   bool
	caps map[string]string
	refs []Ref
}

func (a *advert) has(name string) bool {
	_, ok := a.caps[name]
	return ok
}

// readAdvert reads the introduction. Over HTTP it follows a service line, which it skips.
func readAdvert(r *bufio.Reader) (*advert, error) {
	if line, err := peekPkt(r); err != nil {
		return nil, err
	} else if strings.HasPrefix(line, "# service=") {
		if _, _, err := readPkt(r); err != nil {
			return nil, err
		}
		if kind, _, err := readPkt(r); err != nil || kind != pktFlush {
			return nil, errors.Join(errMalformedPkt, err)
		}
	}
	line, err := peekPkt(r)
	if err != nil {
		return nil, err
	}
	if strings.TrimSuffix(line, "\n") == "version 2" {
		return readCapabilities(r)
	}
	return readRefs(r)
}

// peekPkt looks at the first packet without consuming it. An ERR packet is an error.
func peekPkt(r *bufio.Reader) (string, error) {
	head, err := r.Peek(4)
	if err != nil {
		return "", err
	}
	var n int
	if _, err := fmt.Sscanf(string(head), "%04x", &n); err != nil || n > maxPkt {
		return "", errMalformedPkt
	}
	if n <= 4 {
		return "", nil
	}
	line, err := r.Peek(min(n, r.Size()))
	if err != nil {
		return "", err
	}
	if text, ok := bytes.CutPrefix(line[4:], []byte("ERR ")); ok {
		return "", &remoteError{strings.TrimSpace(string(text))}
	}
	return string(line[4:]), nil
}

func readCapabilities(r *bufio.Reader) (*advert, error) {
	a := &advert{v2: true, caps: map[string]string{}}
	for range 1000 {
		kind, payload, err := readPkt(r)
		if err != nil {
			return nil, err
		}
		if kind == pktFlush {
			return a, checkFormat(a.caps["object-format"])
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(string(payload), "\n"), "=")
		a.caps[name] = value
	}
	return nil, errMalformedPkt
}

func checkFormat(format string) error {
	if format == "" || format == "sha1" {
		return nil
	}
	return fault.New(fault.Server, fmt.Sprintf("the repository has %s object ids; Stele reads SHA-1 repositories",
		fault.Scrub(format)), nil)
}

// readRefs reads a version 0 advertisement with go-git's decoder.
func readRefs(r *bufio.Reader) (*advert, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(r)
	if errors.Is(err, packp.ErrEmptyAdvRefs) {
		return &advert{}, nil
	}
	if err != nil {
		return nil, err
	}
	a := &advert{caps: map[string]string{}}
	for _, c := range refs.Capabilities.All() {
		a.caps[string(c)] = strings.Join(refs.Capabilities.Get(c), " ")
	}
	if len(refs.References) > maxRefs {
		return nil, tooManyRefs()
	}
	if len(refs.Shallows) > 0 {
		return nil, shallow()
	}
	for name, id := range refs.References {
		a.refs = append(a.refs, Ref{Name: name, ID: id, Peeled: refs.Peeled[name]})
	}
	if refs.Head != nil {
		a.refs = append(a.refs, Ref{Name: "HEAD", ID: *refs.Head})
	}
	slices.SortFunc(a.refs, func(x, y Ref) int { return strings.Compare(x.Name, y.Name) })
	return a, checkFormat(a.caps["object-format"])
}

// command begins a version 2 request.
func (a *advert) command(name string) *request {
	r := &request{}
	r.line("command=%s", name)
	r.line("agent=%s", agent)
	if a.has("object-format") {
		r.line("object-format=sha1")
	}
	r.WriteString(delimPkt)
	return r
}

func (a *advert) listRequest(prefixes []string) *request {
	r := a.command("ls-refs")
	r.line("peel")
	for _, p := range prefixes {
		r.line("ref-prefix %s", p)
	}
	r.WriteString(flushPkt)
	return r
}

// readList reads the answer to ls-refs.
func readList(r *bufio.Reader) ([]Ref, error) {
	var refs []Ref
	for {
		kind, payload, err := readPkt(r)
		if err != nil {
			return nil, err
		}
		if kind != pktData {
			return refs, nil
		}
		if len(refs) >= maxRefs {
			return nil, tooManyRefs()
		}
		fields := strings.Fields(string(payload))
		if len(fields) < 2 || len(fields[1]) > maxRefName {
			return nil, errMalformedPkt
		}
		if fields[0] == "unborn" {
			continue
		}
		if !plumbing.IsHash(fields[0]) {
			return nil, errMalformedPkt
		}
		ref := Ref{Name: fields[1], ID: plumbing.NewHash(fields[0])}
		for _, attr := range fields[2:] {
			if id, ok := strings.CutPrefix(attr, "peeled:"); ok && plumbing.IsHash(id) {
				ref.Peeled = plumbing.NewHash(id)
			}
		}
		refs = append(refs, ref)
	}
}

// shallow: a server without the whole history cannot say what is an ancestor of what.
func shallow() error {
	return fault.New(fault.Server, "the server has a shallow copy of the repository, whose history is cut off; complete it there "+
		"(git fetch --unshallow), or follow the original", nil)
}

func tooManyRefs() error {
	return &fault.LimitError{What: "number of refs in the repository", Limit: maxRefs, Unit: "refs"}
}

// fetchRequest builds the request for a pack. Everything is said at once and closed with "done": the commits that the
// cache has are known, so there is nothing to negotiate. Thin packs are not asked for: a pack must stand alone.
func (a *advert) fetchRequest(req Request, wants []plumbing.Hash) *request {
	if !a.v2 {
		return a.fetchRequestV0(req, wants)
	}
	r := a.command("fetch")
	r.line("ofs-delta")
	r.line("no-progress")
	if a.filters(req) {
		r.line("filter blob:limit=%d", req.MaxBlob+1)
	}
	for _, id := range wants {
		r.line("want %s", id)
	}
	for _, id := range req.Haves {
		r.line("have %s", id)
	}
	r.line("done")
	r.WriteString(flushPkt)
	return r
}

func (a *advert) fetchRequestV0(req Request, wants []plumbing.Hash) *request {
	caps := []string{string(capability.Sideband64k)}
	for _, c := range []capability.Capability{capability.OFSDelta, capability.NoProgress} {
		if a.has(string(c)) {
			caps = append(caps, string(c))
		}
	}
	if a.filters(req) {
		caps = append(caps, string(capability.Filter))
	}
	r := &request{}
	for i, id := range wants {
		if i == 0 {
			r.line("want %s %s agent=%s", id, strings.Join(caps, " "), agent)
			continue
		}
		r.line("want %s", id)
	}
	if a.filters(req) {
		r.line("filter blob:limit=%d", req.MaxBlob+1)
	}
	r.WriteString(flushPkt)
	for _, id := range req.Haves {
		r.line("have %s", id)
	}
	r.line("done")
	return r
}

// filters says whether the server will leave out large blobs.
func (a *advert) filters(req Request) bool {
	can := a.has(string(capability.Filter))
	if a.v2 {
		can = slices.Contains(strings.Fields(a.caps["fetch"]), string(capability.Filter))
	}
	return can && req.MaxBlob > 0
}

// wants are the ids to ask this server for. Version 2 takes any id. Version 0 takes those that a ref has, and others
// only where it says so.
func (a *advert) wants(req Request) ([]plumbing.Hash, error) {
	if a.v2 || a.has(string(capability.AllowReachableSHA1InWant)) || a.has("allow-any-sha1-in-want") {
		return req.Wants, nil
	}
	listed := map[plumbing.Hash]bool{}
	for _, ref := range a.refs {
		listed[ref.ID] = true
	}
	if !slices.ContainsFunc(req.Wants, func(id plumbing.Hash) bool { return !listed[id] }) {
		return req.Wants, nil
	}
	if wants := req.Choose(a.refs); len(wants) > 0 {
		return wants, nil
	}
	return nil, &remoteError{"not our ref: no branch or tag leads to the commit"}
}

// packStream skips what precedes the pack: acknowledgements in version 0, section headers in version 2.
func packStream(a *advert, r *bufio.Reader) (io.Reader, error) {
	heard := &noise{}
	for {
		kind, payload, err := readPkt(r)
		if err != nil {
			return nil, err
		}
		text := strings.TrimSuffix(string(payload), "\n")
		switch {
		case a.v2 && text == "packfile":
			return &sideband{r: r, noise: heard}, nil
		case a.v2 && text == "shallow-info":
			return nil, shallow()
		case a.v2 && kind != pktFlush:
		case !a.v2 && (text == "NAK" || strings.HasPrefix(text, "ACK ")):
		case !a.v2 && kind == pktData && len(payload) > 0 && payload[0] <= 3:
			s := &sideband{r: r, noise: heard}
			return s, s.take(payload)
		default:
			return nil, errMalformedPkt
		}
		if err := heard.add(payload); err != nil {
			return nil, err
		}
	}
}
