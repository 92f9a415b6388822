package bench

import (
	"context"
	"runtime"
	"time"
)

// pace sends at a fixed rate for a while, whatever comes back, and returns by how
// much each message left late. Messages are stamped with when they were due.
func (f *fleet) pace(ctx context.Context, rate float64, during time.Duration) []time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sharpen()
	total := max(int(rate*during.Seconds()), 1)
	gap := float64(time.Second) / rate
	late := make([]time.Duration, 0, total)
	start := f.now()
	for i := range total {
		due := start + int64(float64(i)*gap)
		for wait := due - f.now(); wait > 0; wait = due - f.now() {
			rest(time.Duration(wait))
		}
		if ctx.Err() != nil {
			return late
		}
		s := f.someSender(ctx)
		if s == nil {
			return late
		}
		late = append(late, time.Duration(max(f.now()-due, 0)))
		f.send(s, f.draw.receiver(s.client, f.nodeOf), due)
	}
	return late
}

// someSender draws a client that is connected, or nil when ctx ends.
func (f *fleet) someSender(ctx context.Context) *session {
	for ctx.Err() == nil {
		if s := f.sessions[f.draw.sender()].Load(); s != nil && !s.ending.Load() {
			return s
		}
		runtime.Gosched()
	}
	return nil
}

// loopTick is how often it is looked whether a closed loop has had enough messages.
const loopTick = 100 * time.Millisecond

// loop keeps window messages of each client in flight for a while, or until the
// checker can't keep more.
func (f *fleet) loop(ctx context.Context, window int, during time.Duration) {
	f.setLooping(true)
	for range window {
		for i := range f.sessions {
			f.answer(uint32(i))
		}
	}
	for end := time.Now().Add(during); ctx.Err() == nil && f.checker.count() < maxMessages && time.Now().Before(end); {
		pause(ctx, min(time.Until(end), loopTick))
	}
	f.setLooping(false)
}

// acquaint has every node send once to every client on another node, some at a
// time, so that what is measured afterwards is not the first messages' lookups.
func (f *fleet) acquaint(ctx context.Context) {
	const atATime = 200
	n := 0
	for node := range f.urls {
		for to := range f.sessions {
			from := f.sessions[node].Load() // client i begins on node i
			if ctx.Err() != nil {
				return
			}
			if from == nil || node == f.home(uint32(to)) {
				continue
			}
			f.send(from, uint32(to), f.now())
			if n++; n%atATime == 0 {
				f.drain(ctx)
			}
		}
	}
	f.drain(ctx)
}

const (
	// drainTick is how often it is looked whether all has arrived.
	drainTick = 2 * time.Millisecond
	// drainPatience is how long nothing may arrive before the rest is given up. A
	// node answers every message within 5 s.
	drainPatience = 7 * time.Second
)

// drain returns when nothing is under way any more, or will not come.
func (f *fleet) drain(ctx context.Context) {
	last, since := int64(-1), time.Now()
	for ctx.Err() == nil && time.Since(since) < drainPatience && !f.complete() {
		if n := f.checker.received.Load() + f.checker.answered.Load(); n != last {
			last, since = n, time.Now()
		}
		pause(ctx, drainTick)
	}
	if ctx.Err() != nil {
		return
	}
	// What is missing now is not waited for again.
	f.missing = int64(f.checker.count()) - f.checker.received.Load()
	f.settled = f.checker.count()
}

// complete reports whether every message has ended.
func (f *fleet) complete() bool {
	c := f.checker
	if !f.receipts {
		return c.received.Load()+f.missing >= int64(c.count())
	}
	for ; f.settled < c.count(); f.settled++ {
		if r := c.find(f.settled); r == nil || !f.hasEnded(r) {
			return false
		}
	}
	return true
}

// hasEnded reports whether a message that asks for a receipt has nothing to come.
func (f *fleet) hasEnded(r *record) bool {
	switch bits := r.bits.Load(); {
	case bits&wasCut != 0:
		return true
	case bits&wasAnswered == 0: // who has left hears no receipt
		return !f.connectedSince(r.from, r.sent)
	case bits&saidDelivered != 0 && bits&wasReceived == 0:
		return !f.connectedSince(r.to, r.sent)
	}
	return true
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
