package bus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// loneReply is when the reply to a lone PUBLISH is read, that no other follows: soon,
	// because it says whether the peer lives.
	loneReply = time.Millisecond
	// loneWrite is how long there was no write before a lone one.
	loneWrite = 20 * time.Millisecond
	// watchInterval is when replies are read that no later PUBLISH has read.
	watchInterval = 50 * time.Millisecond
)

// publisher is the half of a bus that publishes: it moves batches from the Source to the
// connections, and results back.
type publisher struct {
	o     *Options
	place placement
	timer *time.Timer
	tasks sync.WaitGroup // what the publisher has started

	// The flushing goroutine's.
	touched []*publishConn // that were given batches in this round
	spare   []Result       // room for the next results

	mu struct {
		sync.Mutex
		ended    bool // Run has returned, or is about to
		flushing bool
		again    bool // somebody has called Flush since the flushing goroutine last asked the Source
		watch    bool // replies are to be looked at for being overdue

		conns   []*publishConn
		results []Result  // for the Source
		timerAt time.Time // when the timer fires; zero: it does not
		blocked time.Time // since when there is no connection; zero: there is one
		reset   time.Time // the last ResetPublishing that did something

		refusal error // to be logged: Redis refuses PUBLISH
		refused bool  // that was logged, and none has succeeded since
	}
}

// placement says where channels are published. Its methods are called with publisher.mu held.
type placement interface {
	// asksLocked reports whether the Source is to be asked for batches now. Whatever changes
	// that is followed by a flush.
	asksLocked() bool
	// connLocked returns the connection that publishes channel; nil if there is none now.
	connLocked(channel string) *publishConn
	// refusedLocked takes what Redis has answered to a PUBLISH instead of a number, and returns
	// the error for the Source.
	refusedLocked(b *sentBatch, answer string) error
	// command is the name of the command that publishes.
	command() string
}

func (p *publisher) init(o *Options, place placement) {
	p.o, p.place = o, place
	p.timer = time.AfterFunc(time.Hour, p.tick)
	p.timer.Stop()
	p.mu.blocked = time.Now()
}

// Flush publishes what the Source has: see Bus.
func (p *publisher) Flush() {
	p.mu.Lock()
	if p.mu.flushing {
		p.mu.again = true
		p.mu.Unlock()
		return
	}
	p.mu.flushing = true
	for more := true; more || p.mu.again || len(p.mu.results) > 0; {
		p.mu.again = false
		more = p.exchangeAndRelock()
	}
	p.mu.flushing = false
	p.mu.Unlock()
}

// exchangeAndRelock gives the Source the results that have come, and the connections what the
// Source has. It reports whether the Source has more that the connections may take. It
// is called with mu held, and releases it meanwhile.
func (p *publisher) exchangeAndRelock() (more bool) {
	for _, c := range slices.Backward(p.mu.conns) { // one that fails is removed
		if c.unansweredLocked() > 0 {
			p.pollLocked(c)
		}
	}
	p.watchLocked()
	p.giveResultsAndRelock()
	if !p.place.asksLocked() {
		return false
	}
	p.mu.Unlock()
	more = p.o.Source.Batches((*round)(p))
	p.mu.Lock()
	return p.writeAndRelock() && more
}

// watchLocked ends connections on which a reply is overdue, if the timer wants that looked at.
func (p *publisher) watchLocked() {
	if !p.mu.watch {
		return
	}
	p.mu.watch = false
	now := time.Now()
	for _, c := range slices.Backward(p.mu.conns) {
		switch {
		case c.unansweredLocked() == 0:
		case now.Sub(c.progress) > replyTimeout:
			p.dropLocked(c, errSilent)
		default:
			p.armLocked(now, watchInterval)
		}
	}
}

var (
	errSilent = errors.New("Redis does not reply to PUBLISH")
	errBroken = errors.New("the connection broke before the batch was written")
)

// giveResultsAndRelock calls the Source without mu.
func (p *publisher) giveResultsAndRelock() {
	results, refusal := p.mu.results, p.mu.refusal
	if len(results) == 0 {
		return
	}
	p.mu.results, p.mu.refusal = p.spare[:0], nil
	p.mu.Unlock()
	if refusal != nil {
		p.o.Logger.Warn("Redis refuses PUBLISH", "error", refusal, "advice", p.o.Connections.Advise(refusal))
	}
	p.o.Source.Published(results)
	clear(results)
	p.spare = results[:0]
	p.mu.Lock()
}

// writeAndRelock writes what the Source has put, without mu, and reports whether that is
// anything.
func (p *publisher) writeAndRelock() bool {
	wrote := len(p.touched) > 0
	for _, c := range p.touched {
		if c.ended {
			p.loseLocked(c.put, c.why)
			c.put, c.out = nil, nil
			continue
		}
		p.wroteLocked(c)
		c.sent = append(c.sent, c.put...)
		clear(c.put)
		c.put = c.put[:0]
		c.writing = true
		p.mu.Unlock()
		n, err := c.conn.TryWrite(c.out)
		p.mu.Lock()
		switch {
		case err != nil:
			p.dropLocked(c, err)
		case n < len(c.out):
			p.startLocked(func() { p.writeRest(c, n) })
		default:
			c.writtenLocked()
		}
	}
	clear(p.touched)
	p.touched = p.touched[:0]
	return wrote
}

// writeRest waits for the kernel where a flush must not.
func (p *publisher) writeRest(c *publishConn, n int) {
	_, err := c.conn.WriteBy(time.Now().Add(replyTimeout), c.out[n:])
	p.mu.Lock()
	if err != nil {
		p.dropLocked(c, err)
	} else {
		c.writtenLocked()
	}
	p.mu.Unlock()
	p.Flush()
}

// wroteLocked notes that c is about to be written. If it was not for a while, nobody may
// come by soon, and the timer has the replies read.
func (p *publisher) wroteLocked(c *publishConn) {
	now := time.Now()
	if c.unansweredLocked() == 0 {
		c.progress = now
	}
	if c.detached && now.Sub(c.wrote) > loneWrite {
		p.armLocked(now, loneReply)
	} else if p.mu.timerAt.IsZero() {
		p.armLocked(now, watchInterval)
	}
	c.wrote = now
}

// armLocked has replies looked at after d at the latest.
func (p *publisher) armLocked(now time.Time, d time.Duration) {
	at := now.Add(d)
	if p.mu.ended || !p.mu.timerAt.IsZero() && !at.Before(p.mu.timerAt) {
		return
	}
	p.mu.timerAt = at
	p.timer.Reset(d)
}

// tick is called by the timer, in a goroutine of its own.
func (p *publisher) tick() {
	p.mu.Lock()
	if p.mu.ended {
		p.mu.Unlock()
		return
	}
	p.mu.timerAt, p.mu.watch = time.Time{}, true
	p.tasks.Add(1)
	p.mu.Unlock()
	defer p.tasks.Done()
	p.Flush()
}

// startLocked runs f in a goroutine that Run awaits.
func (p *publisher) startLocked(f func()) {
	if !p.mu.ended {
		p.tasks.Go(f)
	}
}

// open begins to publish on conn. place is called with mu held before anybody does.
func (p *publisher) open(conn Conn, place func(*publishConn)) *publishConn {
	if p.o.Intercept != nil {
		conn = p.o.Intercept(conn)
	}
	c := newPublishConn(conn)
	p.mu.Lock()
	p.mu.conns = append(p.mu.conns, c)
	place(c)
	p.mu.blocked = time.Time{}
	if !c.detached {
		p.startLocked(func() { p.readAll(c) })
	}
	p.mu.Unlock()
	p.Flush()
	return c
}

// dropLocked closes c. What was published on it and has no reply is lost. Whoever calls it sees
// to a flush, which tells the Source.
func (p *publisher) dropLocked(c *publishConn, why error) {
	if c.ended {
		return
	}
	c.conn.Close()
	c.ended, c.why, c.writing = true, why, false
	p.mu.conns = slices.DeleteFunc(p.mu.conns, func(x *publishConn) bool { return x == c })
	if len(p.mu.conns) == 0 {
		p.mu.blocked = time.Now()
	}
	p.loseLocked(c.sent[c.replied:], why)
	c.sent, c.replied = nil, 0
	close(c.over)
}

// loseLocked says that nobody will know what became of some batches.
func (p *publisher) loseLocked(unanswered []sentBatch, why error) {
	for _, b := range unanswered {
		p.mu.results = append(p.mu.results, Result{Tag: b.tag, Err: lostError{why}})
	}
}

// lostError is ErrLost with its cause.
type lostError struct{ cause error }

func (e lostError) Error() string        { return ErrLost.Error() + ": " + e.cause.Error() }
func (e lostError) Unwrap() error        { return e.cause }
func (e lostError) Is(target error) bool { return target == ErrLost }

// ResetPublishing makes a connection anew: see Bus.
func (p *publisher) ResetPublishing(channel string, why error) {
	p.mu.Lock()
	now := time.Now()
	if c := p.place.connLocked(channel); c != nil && now.Sub(p.mu.reset) >= resetInterval {
		p.mu.reset = now
		p.dropLocked(c, why)
	}
	p.mu.Unlock()
	p.Flush()
}

// Blocked returns for how long there is no connection: see Bus.
func (p *publisher) Blocked() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.blocked.IsZero() {
		return 0
	}
	return max(time.Since(p.mu.blocked), 1)
}

// end closes all connections, tells the Source, and waits for what was started.
func (p *publisher) end(ctx context.Context) {
	p.mu.Lock()
	p.mu.ended = true
	p.timer.Stop()
	for _, c := range slices.Clone(p.mu.conns) {
		p.dropLocked(c, context.Cause(ctx))
	}
	p.mu.Unlock()
	p.Flush()
	p.tasks.Wait()
}

// round is the publisher as the Outlet of one exchange.
type round publisher

// Ready reports whether the connection of channel has room: see Outlet.
func (r *round) Ready(channel string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.place.connLocked(channel)
	return c != nil && c.takesLocked() && len(c.out) < maxOut
}

// Put makes a batch a command: see Outlet.
func (r *round) Put(b Publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.place.connLocked(b.Channel)
	if c == nil { // it has failed since Ready
		r.mu.results = append(r.mu.results, Result{Tag: b.Tag, Err: lostError{errBroken}})
		return
	}
	if len(c.put) == 0 {
		r.touched = append(r.touched, c)
	}
	c.putLocked(r.place.command(), &b)
}
