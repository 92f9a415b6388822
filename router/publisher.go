package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
)

// wire is the publisher's connection to Redis, on which go-redis has introduced
// itself.
type wire interface {
	net.Conn
	// TryWrite writes what fits without waiting. n may be 0.
	TryWrite(b []byte) (n int, err error)
}

// publisher publishes on a connection of its own, in the goroutine that has
// something to publish: an idle node wakes nobody for it. What gathers while
// replies are awaited leaves together when they have come. A Cluster's PUBLISHes
// go by way of the committer instead.
type publisher struct {
	r    *Router
	dial func(context.Context) (wire, error)

	// Guarded by Router.mu.
	conn    wire      // nil while there is none
	writing bool      // somebody writes commands, which are not to be changed
	out     []byte    // commands
	sent    []post    // published with the last write
	replies int       // to the first of sent
	since   time.Time // the last write
}

func newPublisher(r *Router, client *redis.Client) *publisher {
	return &publisher{r: r, dial: func(ctx context.Context) (wire, error) {
		conn, err := registry.Dial(ctx, client)
		if err != nil {
			return nil, err
		}
		if r.opts.intercept == nil {
			return conn, nil
		}
		return r.opts.intercept(conn), nil
	}}
}

// flush publishes what is due, unless an earlier write is not answered yet. It is
// called with mu held, and lets go of it while it writes.
func (p *publisher) flush() {
	r := p.r
	for p.conn != nil && !p.writing && len(p.sent) == 0 && r.hasPosts() {
		p.out = p.out[:0]
		r.gather(p.add)
		if len(p.sent) == 0 {
			return
		}
		r.m.CommitCommands.Observe(float64(len(p.sent)))
		p.since, p.writing = r.now(), true
		conn := p.conn
		r.mu.Unlock()
		n, err := conn.TryWrite(p.out)
		r.mu.Lock()
		switch {
		case err != nil:
			p.drop(conn)
		case n < len(p.out):
			r.run(func(context.Context) { p.writeRest(conn, n) })
			return
		}
		p.writing = false
	}
}

// writeRest waits where flush must not.
func (p *publisher) writeRest(conn wire, n int) {
	conn.SetWriteDeadline(time.Now().Add(commitTimeout))
	_, err := conn.Write(p.out[n:])
	conn.SetWriteDeadline(time.Time{})
	p.r.mu.Lock()
	p.writing = false
	if err != nil {
		p.drop(conn)
	}
	p.r.unlock()
}

// add makes a post a command. Its payload is only lent.
func (p *publisher) add(x *post) {
	p.out = appendPublish(p.out, x.channel, x.payload)
	x.payload = nil
	p.sent = append(p.sent, *x)
}

// appendPublish appends the command as Redis' protocol (RESP) has it.
func appendPublish(b []byte, channel string, payload []byte) []byte {
	b = append(b, "*3\r\n$7\r\nPUBLISH\r\n$"...)
	b = strconv.AppendInt(b, int64(len(channel)), 10)
	b = append(b, "\r\n"...)
	b = append(b, channel...)
	b = append(b, "\r\n$"...)
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	b = append(b, "\r\n"...)
	b = append(b, payload...)
	return append(b, "\r\n"...)
}

// run keeps a connection until ctx ends.
func (p *publisher) run(ctx context.Context) {
	for wait := firstResubscribe; ctx.Err() == nil; wait = min(2*wait, lastResubscribe) {
		conn, err := p.dial(ctx)
		if err == nil {
			wait = firstResubscribe
			err = p.serve(ctx, conn)
		}
		p.r.log.Debug("publisher's connection ended", "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// serve takes the replies that come on conn until it fails.
func (p *publisher) serve(ctx context.Context, conn wire) error {
	r := p.r
	unhook := context.AfterFunc(ctx, func() { conn.Close() })
	defer unhook()
	r.mu.Lock()
	p.conn = conn
	r.unlock()

	err := p.read(conn)
	conn.Close()
	r.mu.Lock()
	defer r.unlock()
	p.drop(conn)
	unanswered := p.sent[p.replies:]
	p.sent, p.replies = nil, 0
	for i := range unanswered {
		unanswered[i].replied(r, 0, err)
		if l := unanswered[i].batch.link; l != nil {
			l.goBack(r) // at once, when there is a connection
		}
	}
	return err
}

// drop closes conn and publishes nothing more on it. Its reader does the rest. It
// is called with mu held.
func (p *publisher) drop(conn wire) {
	conn.Close()
	if p.conn == conn {
		p.conn = nil
	}
}

func (p *publisher) read(conn wire) error {
	buf := make([]byte, 0, 4<<10)
	for {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return fmt.Errorf("read replies: %w", err)
		}
		rest, err := p.take(buf[:len(buf)+n])
		if err != nil {
			return err
		}
		if len(rest) == cap(buf) {
			return errReply
		}
		buf = append(buf[:0], rest...)
	}
}

var errReply = errors.New("unexpected reply to PUBLISH")

// take hands the replies in b to their posts and returns what is not complete yet.
func (p *publisher) take(b []byte) (rest []byte, err error) {
	r := p.r
	r.mu.Lock()
	defer r.unlock()
	for {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			return b, nil
		}
		n, failed, err := readReply(line)
		if err != nil || p.replies == len(p.sent) {
			return nil, errReply
		}
		p.sent[p.replies].replied(r, n, failed)
		p.replies++
		if p.replies == len(p.sent) {
			clear(p.sent)
			p.sent, p.replies = p.sent[:0], 0
		}
		b = rest
	}
}

// readReply reads an integer, or an error that Redis answers.
func readReply(line []byte) (n int64, failed, err error) {
	if len(line) < 2 {
		return 0, nil, errReply
	}
	switch line[0] {
	case ':':
		n, err = strconv.ParseInt(string(line[1:]), 10, 64)
		return n, nil, err
	case '-':
		return 0, errors.New(string(line[1:])), nil
	}
	return 0, nil, errReply
}

// watch ends a connection on which a reply is overdue. It is called with mu held.
func (p *publisher) watch(now time.Time) {
	if p.conn != nil && len(p.sent) > 0 && now.Sub(p.since) > commitTimeout {
		p.drop(p.conn)
	}
}

// reset has the publisher connect again: what it talks with may not be the master
// any more. It is called with mu held.
func (p *publisher) reset() {
	if p.conn != nil {
		p.drop(p.conn)
	}
}
