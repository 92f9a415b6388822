package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// dialers is how many connections are opened at a time, where not all are.
const dialers = 32

// fleet is the clients of a point: client i is connected to node i modulo the
// number of nodes, or where it moved to.
type fleet struct {
	urls    []string // of the nodes
	names   []string // of the clients, those first that are to be connected
	size    int      // of a message
	draw    *draw
	checker *checker
	began   time.Time
	fail    context.CancelCauseFunc // ends the point

	sessions []atomic.Pointer[session] // by client; nil: not connected now
	left     []atomic.Int64            // by client: when a session of his ended last, nanoseconds; 0: never
	numbers  atomic.Uint32
	reading  sync.WaitGroup
	receipts bool      // messages ask for them
	moving   bool      // a client may have two sessions for a moment
	scratch  sync.Pool // of *[]byte

	closing sync.RWMutex // held for reading while a closed loop answers
	looping bool         // guarded by closing

	// Of the goroutine that drains.
	missing int64  // messages given up, where none has a receipt
	settled uint32 // the messages before have ended, or were given up
}

// newFleet makes clients of which the last absent ones never connect.
func newFleet(urls []string, clients, absent, size int, fail context.CancelCauseFunc) *fleet {
	f := &fleet{
		urls: urls, size: size, checker: new(checker), began: time.Now(), fail: fail,
		sessions: make([]atomic.Pointer[session], clients), left: make([]atomic.Int64, clients),
		scratch: sync.Pool{New: func() any { return new([]byte) }},
	}
	prefix := fmt.Sprintf("bench-%08x-", rand.Uint32()) // two benches may share a cluster
	for i := range clients + absent {
		f.names = append(f.names, prefix+strconv.Itoa(i))
	}
	return f
}

// now is the fleet's clock: nanoseconds since it began.
func (f *fleet) now() int64 { return int64(time.Since(f.began)) }

// home is the node that a client begins on.
func (f *fleet) home(client uint32) int { return int(client) % len(f.urls) }

// connectAll connects all clients, some at a time, and returns how long each took
// from the dial to its welcome.
func (f *fleet) connectAll(ctx context.Context, atATime int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, len(f.sessions))
	var next atomic.Int64
	var connecting sync.WaitGroup
	for range min(atATime, len(f.sessions)) {
		connecting.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(f.sessions) && ctx.Err() == nil; i = next.Add(1) - 1 {
				begun := time.Now()
				if err := f.connect(ctx, uint32(i), f.home(uint32(i))); err != nil {
					cancel(fmt.Errorf("client %d of %d: %w", i+1, len(f.sessions), err))
				}
				took[i] = time.Since(begun)
			}
		})
	}
	connecting.Wait()
	return took, context.Cause(ctx)
}

// connect connects a client to a node and returns once it is welcomed. A session
// that it has already is not the client's own any more, and stays.
func (f *fleet) connect(ctx context.Context, client uint32, node int) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, early, err := dialReady(ctx, f.urls[node], f.names[client])
	if err != nil {
		return err
	}
	s := &session{client: client, number: f.numbers.Add(1), node: node, conn: conn, welcome: make(chan error, 1)}
	s.inbox = inbox{client: client, last: make(map[uint32]uint32)}
	if f.moving {
		s.inbox.seen = make(map[uint32]bool)
	}
	f.reading.Go(func() { f.read(s, early) })
	select {
	case err = <-s.welcome:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		s.close()
		return err
	}
	f.sessions[client].Store(s)
	return nil
}

// read serves a session until it ends.
func (f *fleet) read(s *session, early []byte) {
	err := s.read(early, f.take)
	s.conn.Close()
	f.left[s.client].Store(f.now())
	f.sessions[s.client].CompareAndSwap(s, nil)
	switch {
	case !s.welcomed:
		s.welcome <- errors.Join(errNotWelcomed, err)
	case !s.ending.Load():
		f.fail(fmt.Errorf("client %d lost its connection to node %d: %w", s.client, s.node+1, err))
	}
}

// take acts on one frame.
func (f *fleet) take(s *session, text []byte) error {
	in, err := parseIncoming(text)
	if err != nil {
		return fmt.Errorf("the node's message is not of beeline.v1: %w", err)
	}
	switch in.kind {
	case "message":
		f.receive(s, &in)
	case "receipt":
		f.checker.answer(s.number, in.id, in.outcome, f.now())
	case "welcome":
		if !s.welcomed {
			s.welcomed = true
			s.welcome <- nil
		}
	case "bye":
		return fmt.Errorf("the node said bye: %s", in.reason)
	case "error":
		return fmt.Errorf("the node complains: %s: %s", in.code, in.text)
	}
	return nil
}

func (f *fleet) receive(s *session, in *incoming) {
	got, ok := parsePayload(in.data, f.size)
	named := ok && int(got.from) < len(f.names) && int(got.to) < len(f.names) &&
		string(in.from) == f.names[got.from] && string(in.to) == f.names[got.to]
	if !named {
		f.checker.misrouted.Add(1)
		f.checker.fault("client %d received what no client sent: from %q to %q", s.client, in.from, in.to)
		return
	}
	if f.checker.receive(&s.inbox, got, f.now()) {
		f.answer(got.from)
	}
}

// answer keeps a sender's window full, in a closed loop.
func (f *fleet) answer(sender uint32) {
	f.closing.RLock()
	defer f.closing.RUnlock()
	if !f.looping {
		return
	}
	if s := f.sessions[sender].Load(); s != nil {
		f.send(s, f.draw.receiver(s.client, f.nodeOf), f.now())
	}
}

// setLooping begins or ends a closed loop. When it returns, nobody answers any more who
// began to do so before its end.
func (f *fleet) setLooping(on bool) {
	f.closing.Lock()
	defer f.closing.Unlock()
	f.looping = on
}

// nodeOf returns the node that a client is on, or began on.
func (f *fleet) nodeOf(client uint32) int {
	if int(client) < len(f.sessions) {
		if s := f.sessions[client].Load(); s != nil {
			return s.node
		}
	}
	return f.home(client)
}

// send sends one message that is due at a time, on the fleet's clock.
func (f *fleet) send(s *session, to uint32, due int64) {
	var bits uint32
	if f.receipts {
		bits |= wantsReceipt
	}
	if int(to) >= len(f.sessions) {
		bits |= toNobody
	}
	scratch := f.scratch.Get().(*[]byte)
	defer f.scratch.Put(scratch)
	// The number and the write belong together: they are the order of this session.
	s.writing.Lock()
	defer s.writing.Unlock()
	seq := f.checker.send(s.client, to, s.number, f.now(), bits)
	b, frame := appendSend(*scratch, f.names[to], stamp{seq: seq, due: due, from: s.client, to: to}, f.size, f.receipts)
	*scratch = b
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.conn.Write(frame); err != nil {
		f.checker.cut(seq)
	}
}

// connectedSince reports whether a client has been connected from a time until now.
func (f *fleet) connectedSince(client uint32, from int64) bool {
	return f.sessions[client].Load() != nil && f.left[client].Load() < from
}

// close ends all sessions and returns when nobody reads any more.
func (f *fleet) close() {
	f.hangUp()
	f.reading.Wait()
}

// hangUp ends the sessions that there are.
func (f *fleet) hangUp() {
	for i := range f.sessions {
		if s := f.sessions[i].Load(); s != nil {
			s.close()
		}
	}
}
