//go:build unix

package filelock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestAcquireWaitsForTheHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "lock")
	release, err := Acquire(t.Context(), path, func() { t.Error("nobody holds it yet") })
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Acquire(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("while it is held: %v", err)
	}

	second, err := Acquire(t.Context(), path, release)
	if err != nil {
		t.Fatal(err)
	}
	second()
}
