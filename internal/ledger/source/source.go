// Package source reads the files of a log, which lie as C2SP tlog-tiles says: checkpoint, tile/<level>/<index>, tile/entries/<index>. Beside them are the
// checkpoints of before, each under checkpoints/<size>.
package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// MaxFile is the longest file that a log has: 256 entries of 64 KiB each and their lengths, rounded up.
const MaxFile = 17 << 20

// ErrForbidden: the server does not let the log be read.
var ErrForbidden = errors.New("the server does not permit to read the log")

// ErrNotServed: nobody answers for the log. This says nothing of the log itself.
var ErrNotServed = errors.New("the log is not served")

// Source reads one file of a log by its slash-separated path. A file that is not there is fs.ErrNotExist.
type Source interface {
	Read(ctx context.Context, path string) ([]byte, error)
}

// Dir is a log in a folder.
type Dir string

// Read reads a file of the folder, and nothing outside of it.
func (d Dir) Read(_ context.Context, path string) ([]byte, error) {
	if !filepath.IsLocal(path) {
		return nil, fmt.Errorf("%q is no path in a log", path)
	}
	f, err := os.Open(filepath.Join(string(d), filepath.FromSlash(path)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return readAll(f, path)
}

// HTTP is a log behind a web server: also the one behind the proxy of an API server.
type HTTP struct {
	Client *http.Client
	Base   *url.URL
}

// Read gets a file.
func (h HTTP) Read(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.Base.JoinPath(path).String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := h.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
		return readAll(response.Body, path)
	case http.StatusNotFound:
		if noService(response.Body) {
			return nil, fmt.Errorf("%w: there is no such Service", ErrNotServed)
		}
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case http.StatusServiceUnavailable:
		return nil, fmt.Errorf("%w now (503 for %s)", ErrNotServed, path)
	case http.StatusForbidden, http.StatusUnauthorized:
		return nil, fmt.Errorf("%s: %w", path, ErrForbidden)
	default:
		return nil, fmt.Errorf("the server of the log answers %s to %s", response.Status, path)
	}
}

// noService: it is the API server that answers, for want of the Service that it is to ask. Whoever serves the log can say so too, as it can be silent.
func noService(body io.Reader) bool {
	var status struct {
		APIVersion, Kind string
		Details          struct{ Kind string }
	}
	err := json.NewDecoder(io.LimitReader(body, 4<<10)).Decode(&status)
	return err == nil && status.APIVersion == "v1" && status.Kind == "Status" && status.Details.Kind == "services"
}

func readAll(r io.Reader, path string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = errors.New("longer than a file of a log can be")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
