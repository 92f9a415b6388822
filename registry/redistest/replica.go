package redistest

import (
	"context"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
)

// StartReplica starts a replica of a server of one's own, and returns when it is in
// step. It ends with the test.
func StartReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	master.mustOwn("StartReplica")
	host, port, _ := net.SplitHostPort(master.Addr)
	master.do("CONFIG", "SET", "repl-diskless-sync-delay", "0")
	s := StartOwn(t, "--replicaof", host+" "+port)
	s.Prefix = master.Prefix
	s.reach("it is in step", func(ctx context.Context, c *redis.Client) bool {
		return infoHas(ctx, c, "replication", "master_link_status:up")
	})
	return s
}

// Promote makes a replica a master of its own. Whatever it replicated stays one, too,
// until it is told otherwise; see Demote.
func (s *Server) Promote() {
	s.t.Helper()
	s.mustOwn("Promote")
	s.do("REPLICAOF", "NO", "ONE")
}

// Demote makes a server a replica of another one. Clients' connections stay open.
func (s *Server) Demote(to *Server) {
	s.t.Helper()
	s.mustOwn("Demote")
	host, port, _ := net.SplitHostPort(to.Addr)
	s.do("REPLICAOF", host, port)
}
