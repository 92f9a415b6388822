//go:build unix

package main

import (
	"io"
	"strings"
	"testing"
)

func TestBadFlagsAreRefusedWithWhatIsAllowed(t *testing.T) {
	for _, c := range []struct{ flag, want string }{
		{"--time=0s", "longer than 0"},
		{"--interval=-1s", "longer than 0"},
		{"--people=0", "1 and more"},
		{"--confirm=1.5", "from 0 to 1"},
		{"--repeat=-1", "from 0 to 1"},
		{"--sites=moon", "nodes, restarts, links, sentinel, cluster"},
		{"--plant=doubt", "lost, duplicated"},
		{"--set=PATH=x", "BEELINE_"},
		{"--set=BEELINE_HEARTBEAT=1s", "its own"},
	} {
		cmd := command(io.Discard)
		cmd.SetArgs([]string{c.flag})
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", c.flag, err, c.want)
		}
	}
}
