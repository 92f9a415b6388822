package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// wire is the publisher's connection to Redis, on which go-redis has introduced
// itself.
// It is registry.Conn, which see.
type wire interface {
	Detach() bool
	TryRead(b []byte) (n int, err error)
	TryWrite(b []byte) (n int, err error)
	WriteBy(deadline time.Time, b []byte) (n int, err error)
	Read(b []byte) (n int, err error)
	Close() error
}

// publisher publishes on a connection of its own, in the goroutine that has
// something to publish, and looks at the replies of earlier PUBLISHes when it comes
// by next: nobody wakes for them. Only where a connection can't be detached from
// the runtime's poller, a goroutine reads the replies, and what gathers until they
// have come leaves together. A Cluster's PUBLISHes go by way of the committer.
type publisher struct {
	r    *Router
	dial func(context.Context) (wire, error)

	// Guarded by Router.mu.
	conn     wire // nil while there is none
	detached bool
	broken   chan error // holds why a detached connection was dropped
	writing  bool       // somebody writes commands, which are not to be changed
	out      []byte     // commands
	sent     []post     // published
	replies  int        // to the first of sent
	wrote    time.Time  // the last write
	looks    bool       // the sweeper will look at the replies
	away     time.Time  // since when nothing can be published; zero: it can
	anew     time.Time  // the last time that the connection was made anew
	warned   bool       // the present trouble was logged
	progress time.Time  // the last reply, or the first write after it
	in       []byte     // a reply that is not complete yet, in room for more
}

const (
	// maxUnreplied bounds the PUBLISHes whose replies nobody has looked at.
	maxUnreplied = 1 << 13
	// replyTime is when the reply to a lone PUBLISH is looked at, that no other
	// follows: soon, because it says whether the peer lives.
	replyTime = time.Millisecond
	// loneWrite is how long there was no write before a lone one.
	loneWrite = 20 * time.Millisecond
	// watchReplies is when replies are looked at for which nobody comes by.
	watchReplies = 50 * time.Millisecond
	// resetEvery bounds how often the connection is made anew for a peer's sake.
	resetEvery = time.Second
	// maxOut is how much is written at a time, about, and maxOutKept how much room
	// for it is kept, in bytes.
	maxOut     = 4 << 20
	maxOutKept = 1 << 20
)

func newPublisher(r *Router) *publisher {
	return &publisher{r: r, dial: func(ctx context.Context) (wire, error) {
		conn, err := r.reg.Dial(ctx)
		if err != nil {
			return nil, err
		}
		if r.opts.intercept == nil {
			return conn, nil
		}
		return r.opts.intercept(conn), nil
	}}
}

// flush publishes what is due, unless an earlier write or too many replies are
// awaited. It is called with mu held, and lets go of it while it writes.
func (p *publisher) flush() {
	r := p.r
	for !p.writing && r.hasPosts() && p.mayPublish() {
		if p.out = p.out[:0]; cap(p.out) > maxOutKept {
			p.out = nil
		}
		before := len(p.sent)
		r.gather(p.add)
		if len(p.sent) == before {
			return
		}
		r.m.CommitCommands.Observe(float64(len(p.sent) - before))
		p.written(before - p.replies)
		p.writing = true
		conn := p.conn
		r.mu.Unlock()
		n, err := conn.TryWrite(p.out)
		r.mu.Lock()
		switch {
		case err != nil:
			p.drop(conn, err)
		case n < len(p.out):
			r.run(func(context.Context) { p.writeRest(conn, n) })
			return
		}
		p.writing = false
	}
}

// writeRest waits where flush must not.
func (p *publisher) writeRest(conn wire, n int) {
	_, err := conn.WriteBy(time.Now().Add(commitTimeout), p.out[n:])
	p.r.mu.Lock()
	p.writing = false
	if err != nil {
		p.drop(conn, err)
	}
	p.r.unlock()
}

// mayPublish looks at the replies that have come and tells whether there is a
// connection that has room.
func (p *publisher) mayPublish() bool {
	if p.detached && len(p.sent) > 0 {
		p.poll()
	}
	if p.detached {
		return p.conn != nil && len(p.sent)-p.replies < maxUnreplied
	}
	return p.conn != nil && len(p.sent) == 0
}

// written notes the time of a write. If there was none for a while, nobody may
// come by soon, and the sweeper looks at the replies.
func (p *publisher) written(unreplied int) {
	now := p.r.now()
	if unreplied == 0 {
		p.progress = now
	}
	switch {
	case p.detached && now.Sub(p.wrote) > loneWrite:
		p.looks = true
		p.r.arm(now.Add(replyTime))
	case !p.looks:
		p.looks = true
		p.r.arm(now.Add(watchReplies))
	}
	p.wrote = now
}

// poll takes the replies that have come on a detached connection.
func (p *publisher) poll() {
	for p.conn != nil && p.detached {
		n, err := p.conn.TryRead(p.in[len(p.in):cap(p.in)])
		if err == nil && n == 0 {
			return
		}
		if err == nil {
			err = p.take(n)
		}
		if err != nil {
			p.drop(p.conn, err)
		}
	}
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
	p.r.mu.Lock()
	p.away = p.r.now()
	p.r.unlock()
	for wait := firstResubscribe; ctx.Err() == nil; wait = min(2*wait, lastResubscribe) {
		conn, err := p.dial(ctx)
		if err == nil {
			wait = firstResubscribe
			err = p.serve(ctx, conn)
		}
		if ctx.Err() == nil {
			p.r.mu.Lock()
			p.warn("nothing can be published", err)
			p.r.unlock()
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// serve publishes on conn until it fails.
func (p *publisher) serve(ctx context.Context, conn wire) error {
	r := p.r
	r.mu.Lock()
	p.conn, p.detached, p.broken = conn, conn.Detach(), make(chan error, 1)
	p.in = make([]byte, 0, maxReplies)
	p.away = time.Time{}
	r.unlock()

	var err error
	if p.detached {
		select {
		case err = <-p.broken:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	} else {
		unhook := context.AfterFunc(ctx, func() { conn.Close() })
		defer unhook()
		err = p.read(conn)
	}
	r.mu.Lock()
	defer r.unlock()
	p.drop(conn, err)
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

// drop closes conn and publishes nothing more on it; serve does the rest. It is
// called with mu held.
func (p *publisher) drop(conn wire, why error) {
	conn.Close()
	if p.conn != conn {
		return
	}
	p.conn, p.away = nil, p.r.now()
	p.broken <- why
}

// warn logs what keeps the node from publishing, once until a PUBLISH succeeds.
// It is called with mu held.
func (p *publisher) warn(what string, err error) {
	level := slog.LevelWarn
	if p.warned {
		level = slog.LevelDebug
	}
	p.warned = true
	p.r.log.Log(context.Background(), level, what, "error", err)
}

// silent tells whether nothing could be published for so long that it is more
// than a connection made anew. It is called with mu held.
func (p *publisher) silent(now time.Time) bool {
	return !p.away.IsZero() && now.Sub(p.away) > commitTimeout
}

// maxReplies is how much is read of the replies at a time, in bytes.
const maxReplies = 4 << 10

// read takes the replies of a connection that is not detached.
func (p *publisher) read(conn wire) error {
	for {
		n, err := conn.Read(p.in[len(p.in):cap(p.in)])
		if err != nil {
			return fmt.Errorf("read replies: %w", err)
		}
		p.r.mu.Lock()
		err = p.take(n)
		p.r.unlock()
		if err != nil {
			return err
		}
	}
}

var errReply = errors.New("unexpected reply to PUBLISH")

// take hands the replies among the n bytes that were read to their posts, with mu
// held.
func (p *publisher) take(n int) error {
	b := p.in[:len(p.in)+n]
	for {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			break
		}
		n, failed, err := readReply(line)
		if err != nil || p.replies == len(p.sent) {
			return errReply
		}
		if failed != nil {
			p.warn("Redis refuses PUBLISH", failed)
		} else {
			p.warned = false
		}
		p.sent[p.replies].replied(p.r, n, failed)
		p.replies++
		b = rest
	}
	p.progress = p.r.now()
	if p.replies > len(p.sent)/2 {
		p.sent, p.replies = slices.Delete(p.sent, 0, p.replies), 0
	}
	if len(b) == cap(p.in) {
		return errReply
	}
	p.in = append(p.in[:0], b...)
	return nil
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

// watch looks at the replies, and ends a connection on which one is overdue. It is
// called with mu held.
func (p *publisher) watch(now time.Time) {
	p.looks = false
	p.poll()
	switch {
	case p.conn == nil || len(p.sent) == 0:
		return
	case now.Sub(p.progress) > commitTimeout:
		p.drop(p.conn, errSilent)
		return
	}
	p.looks = true
	p.r.arm(now.Add(watchReplies))
}

var errSilent = errors.New("Redis does not reply")

// reset has the publisher connect again: a peer that it did not reach is heard by
// way of another connection, so what it talks with may not be the master any more.
// It is called with mu held.
func (p *publisher) reset(now time.Time) {
	if p.conn != nil && now.Sub(p.anew) >= resetEvery {
		p.anew = now
		p.drop(p.conn, errors.New("the peer hears by way of another server"))
	}
}
