//go:build unix

package redisproc

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
)

// orphanVariable, if it is set, makes the test binary a program that starts a
// Redis in that directory, says its address, and dies without ending it.
const orphanVariable = "REDISPROC_TEST_ORPHAN"

func TestMain(m *testing.M) {
	logging.Disable()
	if dir := os.Getenv(orphanVariable); dir != "" {
		r, err := Start(context.Background(), dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(r.Addr)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	goleak.VerifyTestMain(m)
}
