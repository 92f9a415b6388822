package nodeproc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/beeline-ws/beeline/registry/redisproc/child"
)

// startTime bounds the start of a node on a machine that is busy.
const startTime = 2 * time.Minute

// Options say how to start a node.
type Options struct {
	Binary   string    // a beeline; os.Executable() starts this program's own
	Name     string    // begins the node's ID
	RedisURL string    // of the Redis that the nodes share
	Env      []string  // further settings, BEELINE_…=value; the last of a name wins
	LogTo    io.Writer // gets the whole log as it is written; nil: only its end is kept
}

// NewKey makes a key with which the nodes of one cluster sign, as BEELINE_CLUSTER_KEY
// takes it.
func NewKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// Node is one `beeline serve`.
type Node struct {
	*child.Process
	Name  string
	ID    string // unique for this start
	URL   string // ws://host:port/ws, for clients
	Admin string // http://host:port, for /metrics, /healthz and /readyz

	log *nodeLog
}

// Start starts a node on free ports of 127.0.0.1 and returns once it is ready
// for clients. The settings of this program's environment don't reach it.
func Start(ctx context.Context, opts Options) (*Node, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	n := &Node{Name: opts.Name, log: newNodeLog()}
	cmd := exec.Command(opts.Binary, "serve")
	cmd.Env = nodeEnv(os.Environ(), opts)
	cmd.Stderr = n.log
	if opts.LogTo != nil {
		cmd.Stderr = io.MultiWriter(n.log, opts.LogTo)
	}
	var err error
	if n.Process, err = child.Start(cmd); err != nil {
		return nil, fmt.Errorf("node %s: %w", n.Name, err)
	}
	if err := n.awaitReady(ctx); err != nil {
		n.Kill()
		return nil, fmt.Errorf("start node %s: %w\n%s", n.Name, err, n.Log())
	}
	return n, nil
}

// nodeEnv is the environment of a node's process.
func nodeEnv(own []string, opts Options) []string {
	var env []string
	for _, one := range own {
		if !strings.HasPrefix(one, "BEELINE_") {
			env = append(env, one)
		}
	}
	env = append(env, "BEELINE_NODE_NAME="+opts.Name, "BEELINE_REDIS_URL="+opts.RedisURL,
		"BEELINE_LISTEN=127.0.0.1:0", "BEELINE_ADMIN_LISTEN=127.0.0.1:0", "BEELINE_DRAIN_PERIOD=0s")
	env = append(env, opts.Env...)
	return append(env, "BEELINE_LOG_FORMAT=json") // its addresses are read from there
}

// Log returns the last that the node logged, at most 16 KiB: lines of JSON.
func (n *Node) Log() string { return n.log.String() }

func (n *Node) awaitReady(ctx context.Context) error {
	select {
	case <-n.log.served:
	case <-n.Exited():
		return child.ErrEndedAtOnce
	case <-ctx.Done():
		return fmt.Errorf("it does not serve: %w", ctx.Err())
	}
	n.ID, n.URL, n.Admin = n.log.id, "ws://"+n.log.clients+"/ws", "http://"+n.log.admin
	for !n.ready(ctx) {
		select {
		case <-n.Exited():
			return child.ErrEndedAtOnce
		case <-ctx.Done():
			return fmt.Errorf("it does not become ready: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func (n *Node) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.Admin+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
