package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BuildPlugin builds kubectl-stele into a folder. With that folder in PATH, "kubectl stele" runs it.
func BuildPlugin(ctx context.Context, folder string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(folder, "kubectl-stele"), "./cmd/kubectl-stele")
	cmd.Dir, cmd.Env = Root(), append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the plugin: %w: %s", err, text)
	}
	return nil
}
