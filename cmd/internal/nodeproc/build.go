package nodeproc

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds beeline in dir and returns the program. args are further arguments of
// go build, such as -race. The working directory must be within the module.
func Build(ctx context.Context, dir string, args ...string) (string, error) {
	path := filepath.Join(dir, "beeline")
	args = append([]string{"build", "-o", path}, args...)
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/beeline-ws/beeline/cmd/beeline")...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build beeline: %w\n%s", err, text)
	}
	return path, nil
}
