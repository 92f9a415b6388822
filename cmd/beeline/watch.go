package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// command is one Redis command that a node sent, as the demo saw it.
type command struct {
	node            *demoNode
	asked, answered time.Time
	name, key       string // key is the channel of a PUBLISH
	payload         []byte // of a PUBLISH
	heard           int64  // subscribers that a PUBLISH reached
	owners          []string
	err             error
}

// recorder keeps the lookups and publishes of all nodes while it is on.
type recorder struct {
	mu       sync.Mutex
	on       bool
	underway int
	seen     []command
}

// record begins anew.
func (r *recorder) record() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on, r.seen = true, nil
}

// taken ends the recording and returns it. A command's answer may come after its
// effect was seen elsewhere, so those under way are given the time to end.
func (r *recorder) taken(patience time.Duration) []command {
	for end := time.Now().Add(patience); r.busy() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
	return r.seen
}

func (r *recorder) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.underway > 0
}

func (r *recorder) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underway++
}

func (r *recorder) end(commands []command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underway--
	if r.on {
		r.seen = append(r.seen, commands...)
	}
}

// watcher is a hook on one node's Redis client that tells a recorder what the
// node asks. It changes nothing.
type watcher struct {
	recorder *recorder
	node     *demoNode
}

// DialHook leaves dialling alone.
func (w *watcher) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook watches a command that is sent alone.
func (w *watcher) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return w.watch([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook watches commands that are sent together.
func (w *watcher) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return w.watch(cmds, func() error { return next(ctx, cmds) })
	}
}

// watch notes the commands of interest while do runs them. Payloads are copied
// before, because their sender may use the memory again.
func (w *watcher) watch(cmds []redis.Cmder, do func() error) error {
	w.recorder.begin()
	asked := time.Now()
	noted := make(map[int]command)
	for i, cmd := range cmds {
		if c, ok := w.note(cmd); ok {
			c.asked = asked
			noted[i] = c
		}
	}
	err := do()
	answered := time.Now()
	var done []command
	for i, cmd := range cmds {
		if c, ok := noted[i]; ok {
			c.answered = answered
			c.take(cmd)
			done = append(done, c)
		}
	}
	w.recorder.end(done)
	return err
}

// note reads the question, if it is one of interest.
func (w *watcher) note(cmd redis.Cmder) (command, bool) {
	args := cmd.Args()
	c := command{node: w.node, name: cmd.Name()}
	if len(args) > 1 {
		c.key = fmt.Sprint(args[1])
	}
	switch c.name {
	case "publish", "spublish":
		if len(args) == 3 {
			c.payload = payloadOf(args[2])
		}
		return c, true
	case "hgetall":
		return c, true
	}
	return c, false
}

// take reads the answer.
func (c *command) take(cmd redis.Cmder) {
	c.err = cmd.Err()
	switch answer := cmd.(type) {
	case *redis.IntCmd:
		c.heard = answer.Val()
	case *redis.MapStringStringCmd:
		for field := range answer.Val() {
			c.owners = append(c.owners, field)
		}
	}
}

func payloadOf(arg any) []byte {
	switch v := arg.(type) {
	case []byte:
		return bytes.Clone(v)
	case string:
		return []byte(v)
	}
	return fmt.Append(nil, arg)
}
