package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// maxReport bounds the lines of the report about a push of one ref: one about the pack, one about the ref, options of newer servers.
const maxReport = 100

// Push is two requests: what there is, and the push itself.
func (c *httpClient) Push(ctx context.Context, ref string, prepare func(plumbing.Hash) (Update, error)) error {
	body, err := c.do(ctx, receivePack, nil)
	if err != nil {
		return c.config.classify(ctx, "pushing", err)
	}
	a, err := readAdvert(newListReader(body), only(ref))
	_ = body.Close()
	if err != nil {
		return c.config.classify(ctx, "pushing", err)
	}
	req, err := a.pushRequest(ref, prepare)
	if err != nil {
		return err
	}
	if body, err = c.do(ctx, receivePack, req.Bytes()); err != nil {
		return c.config.classify(ctx, "pushing", err)
	}
	defer func() { _ = body.Close() }()
	return c.config.report(ctx, a, ref, newListReader(body))
}

// Push is one session.
func (c *sshClient) Push(ctx context.Context, ref string, prepare func(plumbing.Hash) (Update, error)) error {
	s, err := c.open(ctx, receivePack, only(ref))
	if err != nil {
		return c.config.classify(ctx, "pushing", err)
	}
	defer func() { _ = s.Close() }()
	req, err := s.advert.pushRequest(ref, prepare)
	if err != nil {
		return err
	}
	if _, err := s.in.Write(req.Bytes()); err != nil {
		return c.config.classify(ctx, "pushing", err)
	}
	return c.config.report(ctx, s.advert, ref, s.out)
}

// only keeps one ref.
func only(name string) Pick {
	return func(kept []Ref, r Ref) []Ref {
		if r.Name == name {
			kept = append(kept, r)
		}
		return kept
	}
}

// pushRequest is one command with the pack. The server compares the old id with where the ref is when it moves it.
func (a *advert) pushRequest(ref string, prepare func(plumbing.Hash) (Update, error)) (*request, error) {
	if a.v2 || !a.has(string(capability.ReportStatus)) {
		return nil, fault.New(fault.Server, "the server does not say what becomes of a push (report-status); use another one", nil)
	}
	var tip plumbing.Hash
	if len(a.refs) > 0 {
		tip = a.refs[0].ID
	}
	u, err := prepare(tip)
	if err != nil {
		return nil, err
	}
	caps := []string{string(capability.ReportStatus)}
	if a.has(string(capability.Sideband64k)) {
		caps = append(caps, string(capability.Sideband64k))
	}
	r := &request{}
	text := fmt.Sprintf("%s %s %s\x00 %s agent=%s", tip, u.Commit, ref, strings.Join(caps, " "), agent)
	fmt.Fprintf(r, "%04x%s%s", len(text)+4, text, flushPkt)
	r.Write(u.Pack)
	return r, nil
}

// report reads what became of the push. Beside it, hooks and rules of the host say why.
func (c *Config) report(ctx context.Context, a *advert, ref string, r *bufio.Reader) error {
	said := &headBuffer{}
	lines := r
	if a.has(string(capability.Sideband64k)) {
		lines = newListReader(&sideband{r: r, noise: &noise{}, said: said})
	}
	status, err := readReport(lines, ref)
	if err == nil && status == "" {
		return nil
	}
	var remote *remoteError
	switch {
	case err == nil:
		if text := hookText(said.String()); text != "" {
			status += ": " + text
		}
	case errors.As(err, &remote): // band 3: the server gave up
		status = remote.text
	default:
		return c.classify(ctx, "pushing", err)
	}
	text := fmt.Sprintf("%s does not take the push to %s: %s", c.URL.Host+c.through(), ref, fault.Scrub(status, c.secrets()...))
	return fault.New(fault.PushRefused, text, err)
}

// hookText is what a person would have read, without the lines that are there for looks.
func hookText(said string) string {
	var out []string
	for _, line := range strings.FieldsFunc(said, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if strings.Trim(line, "=-*# ") != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}

// readReport reads a report-status: what was wrong with the pack or the ref; "": nothing.
func readReport(r *bufio.Reader, ref string) (string, error) {
	unpacked, known := false, false
	for range maxReport {
		kind, payload, err := readPkt(r)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", err
		}
		if kind == pktFlush {
			if !unpacked || !known {
				return "", errMalformedPkt
			}
			return "", nil
		}
		line := strings.TrimSuffix(string(payload), "\n")
		result, rest, _ := strings.Cut(line, " ")
		switch {
		case result == "unpack" && rest == "ok":
			unpacked = true
		case result == "unpack":
			return "the pack was not stored: " + rest, nil
		case result == "ok" && rest == ref:
			known = true
		case result == "ng":
			name, why, _ := strings.Cut(rest, " ")
			if name != ref || why == "" {
				return "", errMalformedPkt
			}
			return why, nil
		case result != "option":
			return "", errMalformedPkt
		}
	}
	return "", errMalformedPkt
}
