package router

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// wire is the publisher's connection to Redis, on which go-redis has introduced
// itself: see registry.Conn.
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
	warned   bool       // that Redis refuses PUBLISH was logged
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
		p.r.schedule(now.Add(replyTime))
	case !p.looks:
		p.looks = true
		p.r.schedule(now.Add(watchReplies))
	}
	p.wrote = now
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
			p.r.reg.Failed(registry.Publishing, err)
		}
		_ = p.r.runtime.Sleep(ctx, wait)
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
	r.reg.Works(registry.Publishing)

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

// refused has the log told that Redis answers PUBLISH with an error, once until one
// succeeds. It is called with mu held.
func (p *publisher) refused(err error) {
	if !p.warned {
		p.r.run(func(context.Context) {
			p.r.log.Warn("Redis refuses PUBLISH", "error", err, "advice", p.r.reg.Advise(err))
		})
	}
	p.warned = true
}

// silent tells whether nothing could be published for so long that it is more
// than a connection made anew. It is called with mu held.
func (p *publisher) silent(now time.Time) bool {
	return !p.away.IsZero() && now.Sub(p.away) > commitTimeout
}

// reset has the publisher connect again: a peer that it did not reach is heard by
// way of another connection, so what it talks with may not be the master any more.
// It is called with mu held.
func (p *publisher) reset(now time.Time) {
	if p.conn != nil && now.Sub(p.anew) >= resetEvery {
		p.anew = now
		p.drop(p.conn, errors.New("the peer hears by way of another server"))
	}
}
