package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/proto"
)

// answerPatience is what a command's answer may take after its effect was seen.
const answerPatience = 5 * time.Second

// command is one Redis command that a node sent, as the demo saw it.
type command struct {
	node            *demoNode
	asked, answered time.Time
	name, key       string // key is the channel of a PUBLISH
	payload         string // of a PUBLISH
	heard           int    // subscribers that a PUBLISH reached
	owners          []string
	err             error
}

// take reads the reply.
func (c *command) take(reply string) {
	answer, err := proto.Parse(reply)
	if failed, ok := answer.(error); ok {
		err = failed
	}
	switch c.err = err; {
	case err != nil:
	case c.name == "PUBLISH":
		c.heard, _ = answer.(int)
	default:
		fields, _ := proto.ReadStrings(reply) // it was read before
		for i := 0; i+1 < len(fields); i += 2 {
			c.owners = append(c.owners, fields[i])
		}
	}
}

// isLookup reports whether it asks who owns the address of a key.
func (c *command) isLookup(key string) bool { return c.name == lookupName && c.key == key }

// lookupName is how a call of the script that looks up is shown.
const lookupName = "EVALSHA lookup.lua"

// carries reports whether it publishes data.
func (c *command) carries(data []byte) bool {
	return c.name == "PUBLISH" && strings.Contains(c.payload, string(data))
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
func (r *recorder) taken(ctx context.Context) []command {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	for r.busy() && ctx.Err() == nil {
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

// end takes a command that was answered.
func (r *recorder) end(c command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underway--
	if r.on {
		r.seen = append(r.seen, c)
	}
}

// abandon gives up on commands whose answers nobody will see.
func (r *recorder) abandon(commands int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underway -= commands
}
