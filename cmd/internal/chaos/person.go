//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

const (
	// dialTime is how long a person waits for a node's welcome before it tries
	// another one.
	dialTime = 4 * time.Second
	// friends is how many others a person mostly sends to.
	friends = 3
)

// person is a client that has one session at a time, sends, reads and moves. A
// resident has a node that it likes best.
type person struct {
	site   *site
	name   string
	home   int // a resident's node; -1: none
	random *rand.Rand
	orders chan order
	quiet  chan struct{} // closed when people send no more

	mu    sync.Mutex
	visit *visit // nil while it has no session
}

// order tells a person to go elsewhere.
type order struct {
	cut   bool // without a goodbye
	pause time.Duration
}

// live connects, sends and comes back until ctx ends.
func (p *person) live(ctx context.Context) {
	var pending map[string]*ledger.Message
	avoid := -1
	for ctx.Err() == nil {
		v, tried := p.connect(ctx, avoid)
		if v == nil {
			avoid = tried
			sleep(ctx, 50*time.Millisecond+time.Duration(p.random.IntN(200))*time.Millisecond)
			continue
		}
		p.repeat(v, pending)
		avoid = p.stay(ctx, v)
		p.mu.Lock()
		p.visit = nil
		p.mu.Unlock()
		<-v.ended
		pending = v.unanswered()
	}
}

// connect tries one node, another one than avoid if there is a choice. The visit is
// nil if that failed.
func (p *person) connect(ctx context.Context, avoid int) (v *visit, tried int) {
	node, url := p.site.pick(p.random, p.home, avoid)
	if url == "" {
		return nil, -1
	}
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	session := p.site.ledger.Dial(p.name, p.site.nodes[node].name, time.Now())
	w, id, err := p.site.dial(dialing, url, p.name)
	if err != nil {
		session.Ended(ender(err), "not welcomed: "+shorten(err), time.Now())
		return nil, node
	}
	session.Welcomed(id, time.Now())
	v = &visit{wire: w, session: session, node: node, ended: make(chan struct{}), pending: make(map[string]*ledger.Message)}
	p.mu.Lock()
	p.visit = v
	p.mu.Unlock()
	p.site.work.Go(func() { p.read(v) })
	return v, node
}

// stay sends until the session ends or has to. It returns the node to avoid next.
func (p *person) stay(ctx context.Context, v *visit) int {
	timer := time.NewTimer(p.interval())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if p.home >= 0 && v.node != p.home && p.site.nodes[p.home].isUp() {
				v.leave(false, "moved")
				return -1
			}
			p.burst(v)
			timer.Reset(p.interval())
		case o := <-p.orders:
			v.leave(o.cut, "moved")
			sleep(ctx, o.pause)
			return v.node
		case <-v.ended:
			p.rest(ctx)
			return -1
		case <-ctx.Done():
			v.leave(false, "end of the run")
			return -1
		}
	}
}

// rest is what a resident does after its node went: half of them come back only
// later, so that there is a time in which they are offline.
func (p *person) rest(ctx context.Context) {
	if p.home >= 0 && p.random.IntN(2) == 0 {
		sleep(ctx, 500*time.Millisecond+time.Duration(p.random.IntN(1000))*time.Millisecond)
	}
}

// interval is the time until the next burst.
func (p *person) interval() time.Duration {
	return time.Duration(p.random.ExpFloat64() * float64(p.site.opts.Interval))
}

// burst sends a few messages to one receiver.
func (p *person) burst(v *visit) {
	select {
	case <-p.quiet:
		return
	default:
	}
	to := p.site.receiver(p)
	for range 1 + p.random.IntN(4) {
		p.send(v, to, p.site.opts.Confirm > 0 && p.random.Float64() < p.site.opts.Confirm)
	}
}

// send sends a new message. Others may send as the same person, to probe or to call.
func (p *person) send(v *visit, to string, confirm bool) *ledger.Message {
	v.sending.Lock()
	defer v.sending.Unlock()
	m := v.session.Send(to, confirm, time.Now())
	v.mu.Lock()
	v.pending[m.ID()] = m
	v.mu.Unlock()
	v.transmit(m, p.site.ledger)
	return m
}

// repeat sends again what had no receipt when the last session ended.
func (p *person) repeat(v *visit, pending map[string]*ledger.Message) {
	for id, m := range pending {
		if p.random.Float64() >= p.site.opts.Repeat {
			continue
		}
		v.session.Repeat(m, time.Now())
		v.mu.Lock()
		v.pending[id] = m
		v.mu.Unlock()
		v.transmit(m, p.site.ledger)
	}
}

// read writes down what arrives until the session ends.
func (p *person) read(v *visit) {
	defer close(v.ended)
	for {
		f, err := v.wire.Next()
		now := time.Now()
		if err != nil {
			end := ledger.ByNode
			if errors.Is(err, os.ErrDeadlineExceeded) {
				end = ledger.ByClient // the time to connect was over when it was connected
			}
			v.session.Ended(end, shorten(err), now)
			v.wire.Cut()
			return
		}
		switch f.Type {
		case "message":
			v.session.Received(f.From, f.To, f.Data, now)
			if f.Confirm {
				_ = v.wire.Ack(f.ID) // the sender's receipt tells whether it arrived
			}
		case "receipt":
			v.session.Receipt(f.ID, f.Outcome, f.Reason, now)
			v.mu.Lock()
			delete(v.pending, f.ID)
			v.mu.Unlock()
		case "bye":
			v.session.Ended(ledger.ByNode, "bye: "+f.Reason, now)
		case "error":
			p.site.trouble(fmt.Errorf("%s: the node answered the error %s: %s", p.name, f.Code, f.Message))
		}
	}
}

// current is the person's session, if it has one.
func (p *person) current() *visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.visit
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
