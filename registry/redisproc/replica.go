package redisproc

import (
	"context"
	"net"
	"regexp"

	"github.com/redis/go-redis/v9"
)

// replicationArgs are arguments for servers that follow each other: they do so at
// once, and often acknowledge what they have.
func replicationArgs() []string {
	return []string{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}
}

// followArgs are arguments for a replica of master.
func followArgs(master *Server) []string {
	host, port, _ := net.SplitHostPort(master.Addr)
	return []string{"--replicaof", host + " " + port}
}

// StartReplica starts a replica of master in dir and returns when it is in step. It
// sets the master to serve a new replica at once.
func StartReplica(ctx context.Context, dir string, master *Server) (*Server, error) {
	if _, err := master.Do(ctx, "CONFIG", "SET", "repl-diskless-sync-delay", "0"); err != nil {
		return nil, err
	}
	r, err := Start(ctx, dir, append(replicationArgs(), followArgs(master)...)...)
	if err != nil {
		return nil, err
	}
	if err := r.Await(ctx, "it is in step with its master", inStep); err != nil {
		r.Kill()
		return nil, err
	}
	return r, nil
}

// Promote makes a replica a master of its own. What it replicated stays one, too, until
// it is told otherwise; see Follow.
func (r *Server) Promote(ctx context.Context) error {
	_, err := r.Do(ctx, "REPLICAOF", "NO", "ONE")
	return err
}

// Follow makes the server a replica of master. Clients' connections stay open.
func (r *Server) Follow(ctx context.Context, master *Server) error {
	host, port, _ := net.SplitHostPort(master.Addr)
	_, err := r.Do(ctx, "REPLICAOF", host, port)
	return err
}

// AwaitMaster returns when the server is a master.
func (r *Server) AwaitMaster(ctx context.Context) error {
	return r.Await(ctx, "it is the master", isMaster)
}

func isMaster(ctx context.Context, c *redis.Client) bool {
	return infoContains(ctx, c, "replication", "role:master")
}

// inStep reports whether a server is a replica that has all of its master's data.
func inStep(ctx context.Context, c *redis.Client) bool {
	return infoContains(ctx, c, "replication", "master_link_status:up")
}

// fed returns how many replicas get a master's writes at once. Between a replica's
// synchronization and its first acknowledgement, about a second later, the master keeps
// writes to itself.
func fed(info string) int { return len(acknowledged.FindAllString(info, -1)) }

// acknowledged is what a master says of a replica that has acknowledged something.
var acknowledged = regexp.MustCompile(`(?m)^slave\d+:.*,state=online,offset=[1-9]`)
