package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2/proto"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
)

// wire is one of a node's connections to Redis, on which the demo reads along:
// the commands in Redis' protocol (RESP) that are written, and the replies, which
// come in the same order. It changes nothing.
type wire struct {
	net.Conn
	node     *demoNode
	recorder *recorder

	mu      sync.Mutex
	ended   bool       // it reads along no more
	out, in []byte     // the beginning of a command, and of a reply
	awaited []*command // without a reply, in order; nil: of no interest
}

// watched returns a client like the given one, whose connections are wires; so are
// those that the router opens beside it.
func watched(client *redis.Client, n *demoNode, r *recorder) *redis.Client {
	opts := *client.Options()
	dial := opts.Dialer
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &wire{Conn: conn, node: n, recorder: r}, nil
	}
	return redis.NewClient(&opts)
}

// Write takes note of commands before Redis can answer them.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	w.out = w.cut(append(w.out, b...), w.asked)
	w.mu.Unlock()
	return w.Conn.Write(b)
}

// Read takes note of replies before the node can act on them.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in = w.cut(append(w.in, b[:n]...), w.answered)
	return n, err
}

// Close gives up on replies that have not come.
func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listenNoMore()
	return w.Conn.Close()
}

// cut hands the whole values that b begins with to take, and returns the rest.
func (w *wire) cut(b []byte, take func(value string)) []byte {
	for len(b) > 0 && !w.ended {
		value, err := proto.Read(bufio.NewReader(bytes.NewReader(b)))
		switch {
		case errors.Is(err, io.EOF):
			return b
		case err != nil:
			w.listenNoMore()
		default:
			b = b[len(value):]
			take(value)
		}
	}
	return nil
}

// asked takes a command. What follows a subscription is not replies any more.
func (w *wire) asked(value string) {
	args, err := proto.ReadStrings(value)
	if err != nil || len(args) == 0 {
		w.listenNoMore()
		return
	}
	c := &command{node: w.node, asked: time.Now(), name: strings.ToUpper(args[0])}
	switch {
	case strings.HasSuffix(c.name, "SUBSCRIBE"):
		w.listenNoMore()
		return
	case c.name == "EVALSHA" && len(args) > 3 && args[1] == registry.LookupScript():
		c.name, c.key = lookupName, args[3]
	case c.name == "PUBLISH" && len(args) == 3:
		c.key, c.payload = args[1], args[2]
	default:
		w.awaited = append(w.awaited, nil)
		return
	}
	w.recorder.begin()
	w.awaited = append(w.awaited, c)
}

// answered takes a reply.
func (w *wire) answered(value string) {
	if len(w.awaited) == 0 {
		w.listenNoMore()
		return
	}
	c := w.awaited[0]
	w.awaited = w.awaited[1:]
	if c == nil {
		return
	}
	c.answered = time.Now()
	c.take(value)
	w.recorder.end(*c)
}

func (w *wire) listenNoMore() {
	w.ended = true
	given := 0
	for _, c := range w.awaited {
		if c != nil {
			given++
		}
	}
	w.awaited = nil
	w.recorder.abandon(given)
}
