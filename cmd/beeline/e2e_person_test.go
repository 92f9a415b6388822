package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/client"
)

// person is a client that reads all the time, as an application would.
type person struct {
	*client.Client
	t      *testing.T
	frames chan client.Frame
	ended  chan error
	said   int // messages, each of which has an id of its own
}

// felt is for how long what a machine that stood still has done to a node may be felt.
const felt = 30 * time.Second

// connect connects a person to the node at a URL until the test's end. A node that is
// not ready, as after the machine stood still, is tried again; one that refuses twice
// otherwise fails the test.
func connect(t *testing.T, url, name string) *person {
	t.Helper()
	began, refusals := time.Now(), 0
	for deadline := began.Add(patience); ; time.Sleep(10 * time.Millisecond) {
		p, err := tryConnect(t, url, name)
		if err == nil {
			return p
		}
		if refusals++; refusals == 2 && !machine.Since(began.Add(-felt)) {
			t.Errorf("connecting %s: a node that nothing happens to has refused twice: %v", name, err)
		}
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "HTTP status 503") {
			t.Fatalf("connecting %s: %v", name, err)
		}
	}
}

func tryConnect(t *testing.T, url, name string) (*person, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, url, name)
	if err != nil {
		return nil, err
	}
	p := &person{Client: c, t: t, frames: make(chan client.Frame, 1000), ended: make(chan error, 1)}
	go p.read()
	t.Cleanup(func() { p.Close(); <-p.ended })
	return p, nil
}

func (p *person) read() {
	defer close(p.ended)
	for {
		f, err := p.Next()
		if err != nil {
			p.ended <- err
			return
		}
		p.frames <- f
	}
}

// want returns the next frame, which must be of a type.
func (p *person) want(kind string) client.Frame {
	p.t.Helper()
	select {
	case f := <-p.frames:
		if f.Type != kind {
			p.t.Fatalf("%s got %+v, want a %s", p.Name, f, kind)
		}
		return f
	case <-time.After(patience):
		p.t.Fatalf("%s never got a %s", p.Name, kind)
	}
	return client.Frame{}
}

func (p *person) wantMessage(from, data string) {
	p.t.Helper()
	if f := p.want("message"); f.From != from || f.To != p.Name || string(f.Data) != data {
		p.t.Errorf("%s got %+v, want %s from %s", p.Name, f, data, from)
	}
}

func (p *person) say(to, data string) {
	p.t.Helper()
	p.said++
	if err := p.Send(to, p.Session+strconv.Itoa(p.said), json.RawMessage(data)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) wantOutcome(to, data, outcome string) {
	p.t.Helper()
	p.say(to, data)
	if f := p.want("receipt"); f.Outcome != outcome {
		p.t.Errorf("%s was told %q about %s, want %q", p.Name, f.Outcome, to, outcome)
	}
}

// learns sends until the outcome is a certain one. Before, it may only be unknown, as for
// what Redis gave to a node that had just died.
func (p *person) learns(to, data, outcome string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		p.say(to, data)
		f := p.want("receipt")
		if f.Outcome == outcome {
			return
		}
		if f.Outcome != "timeout" || time.Now().After(deadline) {
			p.t.Fatalf("%s was told %q about %s, want %q", p.Name, f.Outcome, to, outcome)
		}
	}
}

// wantBoth takes a receipt and the message of somebody who answered at once, or of
// oneself: they come in either order.
func (p *person) wantBoth(from, data string) {
	p.t.Helper()
	types := make(map[string]client.Frame)
	for range 2 {
		select {
		case f := <-p.frames:
			types[f.Type] = f
		case <-time.After(patience):
			p.t.Fatalf("%s got only %v", p.Name, types)
		}
	}
	if m := types["message"]; m.From != from || string(m.Data) != data || types["receipt"].Outcome != "delivered" {
		p.t.Errorf("%s got %+v", p.Name, types)
	}
}
