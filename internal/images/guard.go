package images

import (
	"errors"
	"io"
	"net/http"

	"github.com/stele-dev/stele/internal/outbound"
)

// maxBody is the largest answer that is read: manifests have at most 4 MiB (OCI distribution specification).
const maxBody = 4 << 20

// guard lets only such requests pass as asking for a digest takes.
type guard struct {
	inner  http.RoundTripper
	dialer *outbound.Dialer
	// plain: the registry is one that may be asked without TLS.
	plain bool
}

// RoundTrip refuses what would give credentials away. Redirects of questions are followed, because registries send them to a region or
// a storage; the library attaches credentials for the host of the image only, and the dialer looks at every address.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	redirected := req.Response != nil
	switch {
	case req.URL.Scheme != "https" && !g.plain:
		return nil, &refusal{Unreachable, "leads to a server without TLS, which is refused"}
	case redirected && req.Method != http.MethodGet && req.Method != http.MethodHead:
		return nil, &refusal{Unreachable, "has a token server that sends credentials elsewhere, which is refused"}
	}
	if err := g.dialer.CheckHost(req.URL.Hostname()); err != nil {
		return nil, err // a proxy would not check it
	}
	res, err := g.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = &bounded{res.Body, maxBody}
	return res, nil
}

// bounded ends a body that is too long with an error.
type bounded struct {
	io.ReadCloser
	left int64
}

var errTooLong = &refusal{Unreachable, "gives an answer that is longer than a manifest may be"}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// The end of a body that just fits is not one byte too much.
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 && errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
