package testkit

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
)

// WithAPIServer is the TestMain of a package that starts an API server of its own in run. It says what to do where there is none to start, and
// ends the process.
func WithAPIServer(m *testing.M, name string, run func(*testing.M) (int, error)) {
	if !flag.Parsed() {
		flag.Parse()
	}
	code, err := 1, errors.New("KUBEBUILDER_ASSETS is not set, so there is no API server to test against. Run `make test-env`, "+
		"or set it to the folder that `go run -C hack/controlplane . assets` prints")
	if os.Getenv("KUBEBUILDER_ASSETS") != "" {
		code, err = run(m)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, name+":", err)
		code = 1
	}
	os.Exit(code)
}
