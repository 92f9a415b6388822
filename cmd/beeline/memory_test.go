package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestMemoryLimit(t *testing.T) {
	earlier := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(earlier)
	failing := func() (uint64, error) { return 0, errors.New("unreadable") }
	for _, c := range []struct {
		name      string
		env       string
		container memlimit.Provider
		limit     int64
		log       string
	}{
		{"container", "", memlimit.Limit(1000 << 20), 900 << 20, `level=INFO msg="memory limit" bytes=943718400 why="90 % of the container's 1000MiB"`},
		{"no limit", "", func() (uint64, error) { return 0, memlimit.ErrNoLimit }, math.MaxInt64, ""},
		{"no container", "", func() (uint64, error) { return 0, memlimit.ErrNoCgroup }, math.MaxInt64, ""},
		{"unreadable", "", failing, math.MaxInt64, "error=\"failed to set GOMEMLIMIT: unreadable\""},
		{"set", "1GiB", memlimit.Limit(1000 << 20), 1 << 30, `bytes=1073741824 why="GOMEMLIMIT is set"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			debug.SetMemoryLimit(math.MaxInt64)
			t.Setenv("GOMEMLIMIT", c.env) // to be restored
			if c.env == "" {
				os.Unsetenv("GOMEMLIMIT")
			} else {
				debug.SetMemoryLimit(c.limit) // as the runtime does at the start
			}
			var log bytes.Buffer
			limitMemory(newLogger(&log, &config{LogLevel: "info"}), c.container)
			if got := debug.SetMemoryLimit(-1); got != c.limit {
				t.Errorf("limit %d, want %d", got, c.limit)
			}
			wantContains(t, log.String(), c.log)
			if c.log == "" && log.Len() > 0 {
				t.Errorf("logged %s", log.String())
			}
		})
	}
}
