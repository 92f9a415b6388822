package redistest

import (
	"context"
	"testing"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// Sentinel is a master and a replica that one Sentinel watches. It fails over when it
// is told to, not because the machine stands still.
type Sentinel struct {
	Addr   string // host:port of the Sentinel
	Prefix string // for keys and channels; no other test of the process has it

	t testing.TB
	p *redisproc.Sentinel
}

// StartSentinel starts them and waits until the replica can take over. They end with
// the test.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	p, err := redisproc.StartSentinel(t.Context(), t.TempDir(), calmTimeout)
	p = started(t, p, err)
	t.Cleanup(p.Kill)
	return &Sentinel{Addr: p.Addr, Prefix: newPrefix(), t: t, p: p}
}

// URL returns the URL in the form of registry.Connect.
func (s *Sentinel) URL() string { return s.p.URL }

// Failover makes the replica the master, and the master its replica, and
// returns when both are.
func (s *Sentinel) Failover() {
	s.t.Helper()
	must(s.t, s.p.Failover(context.Background()))
	must(s.t, s.p.Mend(context.Background()))
}

// KillReplica ends the replica.
func (s *Sentinel) KillReplica() { s.p.Replica.Kill() }
