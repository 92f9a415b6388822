//go:build unix

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/beeline-ws/beeline/cmd/internal/nodeproc"
)

// startAttempts is how often a node is started until that is given up.
const startAttempts = 3

// place is a node's place in its site. One node after the other takes it. Only the
// place's lane starts and ends nodes.
type place struct {
	name string // site/n1
	opts nodeproc.Options
	log  *os.File

	mu   sync.Mutex
	node *nodeproc.Node // nil while there is none that people know of
	ids  []string       // of all nodes so far
}

func newPlace(site string, i int, dir, binary, redisURL string, env []string) (*place, error) {
	short := fmt.Sprintf("n%d", i+1)
	log, err := os.Create(filepath.Join(dir, short+".log"))
	if err != nil {
		return nil, err
	}
	return &place{
		name: site + "/" + short, log: log,
		opts: nodeproc.Options{Binary: binary, Name: short, RedisURL: redisURL, Env: slices.Clone(env), LogTo: log},
	}, nil
}

// start starts a node unless there is one, where the last one was if that is
// possible.
func (p *place) start(ctx context.Context) (err error) {
	if p.isUp() {
		return nil
	}
	var node *nodeproc.Node
	for range startAttempts {
		if node, err = nodeproc.Start(ctx, p.opts); err == nil || ctx.Err() != nil {
			break
		}
		p.anywhere()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.anywhere()
	listen := strings.TrimSuffix(strings.TrimPrefix(node.URL, "ws://"), "/ws")
	p.opts.Env = append(p.opts.Env, "BEELINE_LISTEN="+listen)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node, p.ids = node, append(p.ids, node.ID)
	return nil
}

// anywhere lets the next node listen on any port.
func (p *place) anywhere() {
	last := len(p.opts.Env) - 1
	if last >= 0 && strings.HasPrefix(p.opts.Env[last], "BEELINE_LISTEN=") {
		p.opts.Env = p.opts.Env[:last]
	}
}

// current is the place's node, or nil.
func (p *place) current() *nodeproc.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.node
}

func (p *place) isUp() bool { return p.current() != nil }

// kill ends the node as a power cut would, if there is one. People hear of it only
// from their connections.
func (p *place) kill() {
	node := p.current()
	if node == nil {
		return
	}
	node.Kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node = nil
}
