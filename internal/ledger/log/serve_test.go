package log

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is served is the log, and nothing else that lies beside it.
func TestServe(t *testing.T) {
	dir, keys := filepath.Join(t.TempDir(), "log"), newTestKeys(t)
	l := open(t, dir, keys)
	add(t, l, entriesOf(0, 3))
	add(t, l, entriesOf(3, 300))
	closed(t, l)
	for file, text := range map[string]string{"secret": "x", "checkpoint123": "half", "tile/entries/001.p/999": "half", "../outside": "x"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "..", "outside"), filepath.Join(dir, "tile", "entries", "002")); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(Handler(dir))
	defer server.Close()
	get := func(method, path string) (int, string, http.Header) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.URL.Opaque = "//" + request.URL.Host + path
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(data), response.Header
	}
	for _, path := range []string{"checkpoint", "checkpoints/0", "checkpoints/3", "checkpoints/300", "tile/entries/000", "tile/entries/001.p/44", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"} {
		code, body, _ := get(http.MethodGet, "/"+path)
		if want := string(mustRead(t, filepath.Join(dir, path))); code != http.StatusOK || body != want {
			t.Errorf("%s: %d, %d bytes", path, code, len(body))
		}
	}
	if code, body, header := get(http.MethodGet, "/checkpoints/"); code != http.StatusOK || body != "0\n3\n259\n300\n" || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("the list of sizes: %d %q", code, body)
	}
	if _, _, header := get(http.MethodGet, "/checkpoint"); header.Get("Cache-Control") != "no-cache" {
		t.Error("the checkpoint may be kept")
	}
	for _, path := range []string{"/", "/secret", "/writer.lock", "/.state/treeState", "/checkpoint123", "/checkpoints", "/checkpoints/03", "/checkpoints/../secret", "/tile/", "/tile/entries/",
		"/tile/entries/001.p/999", "/tile/entries/001.p/", "/tile/entries/002", "/tile/../secret", "/tile/%2e%2e/secret", "/..%2foutside", "//secret", "/tile/entries/000/", "/tile/64/000", "/checkpoint%00", "/checkpoint\\..\\secret"} {
		if code, body, _ := get(http.MethodGet, path); code < 400 || strings.Contains(body, "half") || body == "x" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if code, _, _ := get(method, "/checkpoint"); code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, code)
		}
	}
	if code, body, _ := get(http.MethodHead, "/checkpoint"); code != http.StatusOK || body != "" {
		t.Errorf("HEAD: %d %q", code, body)
	}
}
