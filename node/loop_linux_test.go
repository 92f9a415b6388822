//go:build !386

package node

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
)

type nobody struct{ n int }

func (*nobody) ready(uint32) {}

// A descriptor's number is given away again: an event that was fetched for its
// former owner must not reach the next one.
func TestStaleEvents(t *testing.T) {
	l, err := newLoop()
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
	if err := l.add(fd, old); err != nil {
		t.Fatal(err)
	}
	syscall.Write(pair[1], []byte("x"))
	l.fetch(0)
	event := l.events[0]
	if l.count != 1 || l.find(&event) != old {
		t.Fatalf("%d events, the first for %v", l.count, l.find(&event))
	}
	l.remove(fd)
	if got := l.find(&event); got != nil {
		t.Errorf("an event behind the removal is for %v", got)
	}
	closeSocket(fd)
	if again, err := syscall.Dup(pair[1]); err != nil || int32(again) != fd {
		t.Skipf("descriptor %d is %d now, %v", fd, again, err)
	}
	defer closeSocket(fd)
	if err := l.add(fd, next); err != nil {
		t.Fatal(err)
	}
	if got := l.find(&event); got != nil {
		t.Errorf("a stale event is for %v", got)
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
	few.Cur = next + 1 // for the client's end
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	conn := dial(t, n.Addr())
	conn.Write([]byte(upgradeHead("/ws?client=late")))
	<-log.seen
	by.wantUndisturbed()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := conn.Read(answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 101") {
		t.Errorf("answer %q, %v", answer, err)
	}
}

// A join that is answered when the engine has stopped ends well, too.
func TestWelcomeBehindTheEnd(t *testing.T) {
	n := start(t, nil)
	e, ok := n.engine.(*epoll)
	if !ok {
		t.Skip("another engine")
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[1])
	if !n.handshakes.acquire() || !e.arrive(int32(pair[0])) {
		t.Fatal("does not arrive")
	}
	l := e.loopOf(int32(pair[0]))
	l.mu.Lock()
	a := l.slots[pair[0]].user.(*arrival)
	l.mu.Unlock()
	a.session = newSession(n.Node, plain{}, "late")
	n.table.add(a.session)
	if err := n.x.Join(t.Context(), "late", a.session); err != nil {
		t.Fatal(err)
	}
	a.unlist(true)
	if err := e.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.joined(nil)
	n.leaving.Wait()
	if n.table.size() != 0 || n.x.members("late") != 0 || n.queued.Load() != 0 {
		t.Errorf("%d sessions, %d in the router, %d bytes queued", n.table.size(), n.x.members("late"), n.queued.Load())
	}
	if k, err := syscall.Read(pair[1], make([]byte, 10)); k != 0 || err != nil {
		t.Errorf("the peer reads %d bytes, %v; want the end", k, err)
	}
}
