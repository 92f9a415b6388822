//go:build !386

package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

type nobody struct{ n int }

func (*nobody) ready(uint32) {}

// startEpoll starts a node on epoll, whatever engine the other tests have.
func startEpoll(t *testing.T, change func(*Options, *localExchange)) (*rig, *epoll) {
	t.Helper()
	n := startOn(t, bestEngine, change)
	e, ok := n.engine.(*epoll)
	if !ok {
		t.Fatal("this system offers no epoll")
	}
	return n, e
}

// A descriptor's number is given away again: an event that was fetched for its
// former owner must not reach the next one.
func TestStaleEvents(t *testing.T) {
	l, err := newLoop(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[1])
	fd := int32(pair[0])
	old, next := &nobody{1}, &nobody{2}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.addLocked(fd, old); err != nil {
		t.Fatal(err)
	}
	syscall.Write(pair[1], []byte("x"))
	l.fetch(0)
	event := l.events[0]
	if l.count != 1 || l.findLocked(&event) != old {
		t.Fatalf("%d events, the first for %v", l.count, l.findLocked(&event))
	}
	l.removeLocked(fd)
	if got := l.findLocked(&event); got != nil {
		t.Errorf("an event behind the removal is for %v", got)
	}
	if err := syscall.Dup3(pair[1], int(fd), 0); err != nil { // closes it, and nobody comes between
		t.Fatal(err)
	}
	defer closeSocket(fd)
	if err := l.addLocked(fd, next); err != nil {
		t.Fatal(err)
	}
	if got := l.findLocked(&event); got != nil {
		t.Errorf("a stale event is for %v", got)
	}
}

// A closed loop's descriptor may be another's: its events are not for this one.
func TestClosedLoop(t *testing.T) {
	l, err := newLoop(1)
	if err != nil {
		t.Fatal(err)
	}
	l.close()
	if l.more() {
		t.Error("a closed loop fetches")
	}
	if u := l.findLocked(&syscall.EpollEvent{Fd: 1000}); u != nil {
		t.Errorf("an event of an unknown descriptor is for %v", u)
	}
}

// Of several loops each has slots for its own descriptors alone.
func TestSlots(t *testing.T) {
	const of = 4
	l, err := newLoop(of)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[0])
	defer syscall.Close(pair[1])
	fd, u := int32(pair[0]), &nobody{1}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.addLocked(fd, u); err != nil {
		t.Fatal(err)
	}
	if l.slotLocked(fd).user != u || len(l.slots) != int(fd)/of+1 {
		t.Errorf("%d slots for descriptor %d of %d loops", len(l.slots), fd, of)
	}
}

// What sessions are fed is sent on after so many events, or bytes, however many
// were fetched.
func TestFlushWithinServe(t *testing.T) {
	l, err := newLoop(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	flushes := 0
	l.count = 2 * maxServed
	l.serve(func() { flushes++ })
	if flushes != 2 || l.served != 0 {
		t.Errorf("%d flushes after %d events, %d are left", flushes, l.count, l.served)
	}
	l.count, l.fed = 1, maxFed
	l.serve(func() { flushes++ })
	if flushes != 3 || l.fed != 0 {
		t.Errorf("%d flushes after %d bytes", flushes, maxFed)
	}
}

// awaited is a log that tells of a line.
type awaited struct {
	text string
	seen chan struct{}
}

func (a awaited) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(a.text)) {
		select {
		case a.seen <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

func TestNoDescriptorsLeft(t *testing.T) {
	log := awaited{"accept failed", make(chan struct{}, 1)}
	n := start(t, func(o *Options, _ *localExchange) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	by := n.bystanders()
	undo := sync.OnceFunc(fewDescriptors(t, 1)) // for the client's end
	defer undo()
	conn := dial(t, n.Addr())
	conn.Write([]byte(upgradeHead("/ws?client=late")))
	select {
	case <-log.seen:
	case <-time.After(patience):
		t.Fatal("it accepts without descriptors")
	}
	by.wantUndisturbed()
	undo()
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 101") {
		t.Errorf("answer %q, %v", answer, err)
	}
}

// fewDescriptors allows no more than there are, and so many, until it is undone.
func fewDescriptors(t *testing.T, more uint64) (undo func()) {
	t.Helper()
	free, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(free.Fd())
	free.Close()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = next + more
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
}

// Who is refused when no descriptor is left is told so, and counted.
func TestRefusalWithoutDescriptors(t *testing.T) {
	n := start(t, nil)
	conn := dial(t, n.Addr())
	eventually(t, "it is accepted", func() bool { return len(n.handshakes.slots) == 2 }) // and one is for the next
	defer fewDescriptors(t, 0)()
	conn.Write([]byte("no HTTP\r\n\r\n"))
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
		t.Errorf("answer %q, %v", answer, err)
	}
	conn.Close()
	eventually(t, "its slot is free", func() bool { return len(n.handshakes.slots) == 1 })
	n.wantCount(n.counts.connects, resultBadHead, 1)
}

// A node that has no time to stop still closes who was on his way.
func TestHardStopWithinHandshakes(t *testing.T) {
	n := start(t, nil)
	conns := make([]net.Conn, 300)
	for i := range conns {
		conns[i] = dial(t, n.Addr())
	}
	eventually(t, "they are accepted", func() bool { return len(n.handshakes.slots) == len(conns)+1 })
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Stop(now); !errors.Is(err, context.Canceled) {
		t.Errorf("stop says %v", err)
	}
	for _, c := range conns {
		if answer, err := io.ReadAll(c); err != nil {
			t.Fatalf("answer %q, %v; want the end", answer, err)
		}
		c.Close()
	}
	n.handshakes.running.Wait()
	if e, ok := n.engine.(*epoll); ok {
		e.ending.Wait()
	}
}

// While the router does not answer, a stopping node does not wait for it before it
// tells its sessions, and who waits for it is refused.
func TestStopWithinHungJoins(t *testing.T) {
	joining, proceed := make(chan struct{}), make(chan struct{})
	n, _ := startEpoll(t, func(_ *Options, x *localExchange) {
		x.joinError = func(address string) error {
			if address == "late" {
				close(joining)
				<-proceed
			}
			return nil
		}
	})
	old := connect(t, n.Addr(), "old")
	conn := dial(t, n.Addr())
	io.WriteString(conn, upgradeHead("/ws?client=late"))
	<-joining
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop(t, n.Node)
	}()
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503") {
		t.Errorf("answer %q, %v", answer, err)
	}
	conn.Close()
	old.want(ws.OpText, `{"type":"bye","reason":"draining"`)
	old.conn.Close()
	close(proceed)
	<-stopped
	if n.table.size() != 0 || n.x.members("late") != 0 {
		t.Errorf("%d sessions are left, %d in the router", n.table.size(), n.x.members("late"))
	}
}

// A join that is answered when the engine has stopped ends well, too.
func TestWelcomeBehindTheEnd(t *testing.T) {
	n, e := startEpoll(t, nil)
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[1])
	if !n.handshakes.acquire(func() {}) || e.arrive(int32(pair[0])) != nil {
		t.Fatal("does not arrive")
	}
	l := e.loopOf(int32(pair[0]))
	l.mu.Lock()
	a := l.slotLocked(int32(pair[0])).user.(*arrival)
	l.mu.Unlock()
	late := newSession(n.Node, plain{}, &Identity{Client: "late"})
	n.table.add(late)
	if err := n.x.Join(t.Context(), "late", late); err != nil {
		t.Fatal(err)
	}
	if !a.startJoin(late) {
		t.Fatal("the join does not begin")
	}
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.stop(now); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	a.hearRouter(nil)
	e.ending.Wait()
	n.leaving.Wait()
	if n.table.size() != 0 || n.x.members("late") != 0 || n.queued.Load() != 0 {
		t.Errorf("%d sessions, %d in the router, %d bytes queued", n.table.size(), n.x.members("late"), n.queued.Load())
	}
	if k, err := syscall.Read(pair[1], make([]byte, 10)); k != 0 || err != nil {
		t.Errorf("the peer reads %d bytes, %v; want the end", k, err)
	}
}
