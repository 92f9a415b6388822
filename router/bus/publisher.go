package bus

import (
	"slices"
	"sync"
	"time"
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
		results []Result             // for the Source
		timerAt time.Time            // when the timer fires; zero: it does not
		blocked time.Time            // since when there is no connection; zero: there is one
		resets  map[string]time.Time // by server: the last ResetPublishing that did something

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
	// refusedLocked takes what Redis has answered to a PUBLISH on c instead of a number, and
	// returns the error for the Source.
	refusedLocked(c *publishConn, b *sentBatch, answer string) error
	// command is the name of the command that publishes.
	command() string
}

func (p *publisher) init(o *Options, place placement) {
	p.o, p.place = o, place
	p.timer = time.AfterFunc(time.Hour, p.tick)
	p.timer.Stop()
	p.mu.blocked = time.Now()
	p.mu.resets = make(map[string]time.Time)
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
