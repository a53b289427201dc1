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
func readAdvert(r *bufio.Reader, pick Pick) (*advert, error) {
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
	return readRefs(r, pick)
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
		a.can(strings.TrimSuffix(string(payload), "\n"))
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

// readRefs reads a version 0 advertisement, ref by ref.
func readRefs(r *bufio.Reader, pick Pick) (*advert, error) {
	a := &advert{caps: map[string]string{}}
	l := &lister{pick: pick}
	for first := true; ; first = false {
		kind, payload, err := readPkt(r)
		if err != nil {
			return nil, err
		}
		if kind == pktFlush {
			a.refs = l.end()
			return a, nil
		}
		line := strings.TrimSuffix(string(payload), "\n")
		if first {
			var caps string
			if line, caps, _ = strings.Cut(line, "\x00"); len(caps) == 0 {
				return nil, errMalformedPkt
			}
			for _, c := range strings.Fields(caps) {
				a.can(c)
			}
			if err := checkFormat(a.caps["object-format"]); err != nil {
				return nil, err
			}
		}
		id, name, _ := strings.Cut(line, " ")
		switch {
		case id == "shallow":
			return nil, shallow()
		case first && name == "capabilities^{}": // there are no refs
			continue
		}
		if err := l.add(id, name); err != nil {
			return nil, err
		}
	}
}

// lister collects refs. The commit of an annotated tag follows the tag, so that a ref is complete when the next one comes.
type lister struct {
	pick  Pick
	kept  []Ref
	last  Ref
	count int
}

func (l *lister) add(id, name string) error {
	if !plumbing.IsHash(id) || name == "" || len(name) > maxRefName {
		return errMalformedPkt
	}
	if of, peeled := strings.CutSuffix(name, "^{}"); peeled {
		if of == l.last.Name {
			l.last.Peeled = plumbing.NewHash(id)
		}
		return nil
	}
	if l.count++; l.count > maxRefs {
		return tooManyRefs()
	}
	l.end()
	l.last = Ref{Name: strings.Clone(name), ID: plumbing.NewHash(id)}
	return nil
}

func (l *lister) end() []Ref {
	if l.last.Name != "" {
		l.kept = l.pick(l.kept, l.last)
	}
	l.last = Ref{}
	return l.kept
}

// can notes what the server says that it can do, as far as that is ever looked at: it is kept for as long as the repository is followed.
func (a *advert) can(capability string) {
	name, value, _ := strings.Cut(capability, "=")
	if slices.Contains(capabilities, name) && len(value) <= maxCapability {
		a.caps[strings.Clone(name)] = strings.Clone(value)
	}
}

const maxCapability = 1024

var capabilities = []string{"fetch", "object-format", string(capability.OFSDelta), string(capability.NoProgress), string(capability.Filter),
	string(capability.AllowReachableSHA1InWant), "allow-any-sha1-in-want", string(capability.Shallow), string(capability.ReportStatus),
	string(capability.Sideband64k)}

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
func readList(r *bufio.Reader, pick Pick) ([]Ref, error) {
	l := &lister{pick: pick}
	for {
		kind, payload, err := readPkt(r)
		if err != nil {
			return nil, err
		}
		if kind != pktData {
			return l.end(), nil
		}
		fields := strings.Fields(string(payload))
		if len(fields) < 2 {
			return nil, errMalformedPkt
		}
		if fields[0] == "unborn" {
			continue
		}
		if err := l.add(fields[0], fields[1]); err != nil {
			return nil, err
		}
		for _, attr := range fields[2:] {
			if id, ok := strings.CutPrefix(attr, "peeled:"); ok && plumbing.IsHash(id) {
				l.last.Peeled = plumbing.NewHash(id)
			}
		}
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
	if a.deepens(req) {
		r.line("deepen %d", req.Depth)
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
	if a.deepens(req) {
		caps = append(caps, string(capability.Shallow))
	}
	r := &request{}
	for i, id := range wants {
		if i == 0 {
			r.line("want %s %s agent=%s", id, strings.Join(caps, " "), agent)
			continue
		}
		r.line("want %s", id)
	}
	if a.deepens(req) {
		r.line("deepen %d", req.Depth)
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
func (a *advert) filters(req Request) bool { return req.MaxBlob > 0 && a.fetches(capability.Filter) }

// deepens says whether the server will cut off the history.
func (a *advert) deepens(req Request) bool { return req.Depth > 0 && a.fetches(capability.Shallow) }

// fetches: it is one of the things that a fetch can do.
func (a *advert) fetches(c capability.Capability) bool {
	if a.v2 {
		return slices.Contains(strings.Fields(a.caps["fetch"]), string(c))
	}
	return a.has(string(c))
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

// packStream skips what precedes the pack: acknowledgements in version 0, section headers in version 2, and where the history was asked to
// be cut off (deep), where it was.
func packStream(a *advert, r *bufio.Reader, deep bool) (io.Reader, error) {
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
		case a.v2 && text == "shallow-info" && !deep:
			return nil, shallow()
		case a.precedes(kind, text, deep):
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

// precedes says whether a packet is one of those that come before a pack and say nothing that matters.
func (a *advert) precedes(kind pktKind, text string, deep bool) bool {
	if a.v2 {
		return kind != pktFlush
	}
	return text == "NAK" || strings.HasPrefix(text, "ACK ") || deep && (kind == pktFlush || strings.HasPrefix(text, "shallow "))
}
