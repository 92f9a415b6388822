//go:build !386

package node

import (
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// loop watches many sockets with one goroutine, by a level-triggered epoll
// descriptor. The goroutine does not block in epoll_wait: the descriptor is in
// Go's own poller, which tells when there is something to fetch. That saves a
// thread and its wake-ups.
//
// Only the loop's goroutine reads sessions' sockets and closes them, so that no
// descriptor is closed, and given to somebody else, under a read. Others write to
// a socket, or shut it down, under the session's lock, which holds the loop off
// closing. What is not a session's is closed by its one owner.
type loop struct {
	// Static.
	fd   int
	file *os.File // owns fd: its finalizer would close it
	raw  syscall.RawConn
	poll func(uintptr) bool
	of   int // loops; the descriptors of each are those with the same rest

	// Owned by the loop's goroutine.
	events  [256]syscall.EpollEvent
	fetched [256]user // whom the events are for
	count   int       // of events
	served  int       // events since the last flush
	fed     int       // bytes of sessions since then
	buf     [readBudget]byte
	head    head // that is being looked at

	gathered []*pollWire // see gathering; empty between feedings

	// Guarded by mu.
	mu         sync.Mutex
	slots      []slot // by descriptor, divided by of
	generation uint32
	closed     bool
	blocked    map[*pollWire]moment // waiting for room in the socket, and since when
	heads      arrivals             // whose head is awaited
	waiting    arrivals             // who wait for the authenticator or the router
}

// slot is a watched descriptor. Events carry the generation, so that one of a
// descriptor's former life is told from those of the present.
type slot struct {
	user       user
	generation uint32
}

// user is what the events of a socket are for.
type user interface{ ready(events uint32) }

// What a socket can be watched for. Errors are always reported.
const (
	wantIn  = uint32(syscall.EPOLLIN)
	wantOut = uint32(syscall.EPOLLOUT)
	ended   = uint32(syscall.EPOLLRDHUP)
	failing = uint32(syscall.EPOLLERR | syscall.EPOLLHUP)
)

// newLoop returns one of so many loops.
func newLoop(of int) (*loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	_ = syscall.SetNonblock(fd, true) // has os.NewFile give it to Go's poller
	l := &loop{fd: fd, of: of, file: os.NewFile(uintptr(fd), "epoll"), blocked: map[*pollWire]moment{}}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil, err
	}
	l.poll = l.fetch
	return l, nil
}

// While a fetch brings busyFetch events, more will be there at once, and what they
// lead to travels cheaper together; but no message waits for more than maxServed
// events, or maxFed bytes and those of one more read.
const (
	busyFetch = 4
	maxServed = 64
	maxFed    = 256 << 10
)

// run serves until the loop is closed. flush sends on what the sessions were fed.
func (l *loop) run(flush func()) {
	for l.raw.Read(l.poll) == nil {
		l.serve(flush)
		for l.count >= busyFetch && l.more() {
			l.serve(flush)
		}
		l.flush(flush)
	}
}

// more is fetch for a loop that may be closed: its descriptor may be another's.
func (l *loop) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed && l.fetch(0)
}

// serve hands out the events that were fetched.
func (l *loop) serve(flush func()) {
	for i, user := range l.users() {
		if user != nil {
			user.ready(l.events[i].Events)
		}
		if l.served++; l.served >= maxServed || l.fed >= maxFed {
			l.flush(flush)
		}
	}
	clear(l.fetched[:l.count])
}

func (l *loop) flush(flush func()) {
	if l.served > 0 {
		l.served, l.fed = 0, 0
		flush()
	}
}

// fetch fetches events, and returns false if there are none.
func (l *loop) fetch(uintptr) bool {
	n, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.fd),
		uintptr(unsafe.Pointer(&l.events)), uintptr(len(l.events)), 0, 0, 0)
	l.count = int(n)
	if err != 0 {
		l.count = 0 // interrupted
	}
	return l.count > 0 || err == syscall.EINTR
}

// users returns whom the fetched events are for; nil for who is not there any more.
func (l *loop) users() []user {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.count {
		l.fetched[i] = l.findLocked(&l.events[i])
	}
	return l.fetched[:l.count]
}

func (l *loop) findLocked(e *syscall.EpollEvent) user {
	if i := int(e.Fd) / l.of; i < len(l.slots) && l.slots[i].generation == uint32(e.Pad) {
		return l.slots[i].user
	}
	return nil
}

// slotLocked is that of a descriptor that was added.
func (l *loop) slotLocked(fd int32) *slot { return &l.slots[int(fd)/l.of] }

// addLocked watches fd for u. Like all below, it is called with mu held.
func (l *loop) addLocked(fd int32, u user) error {
	if n := int(fd)/l.of + 1 - len(l.slots); n > 0 {
		l.slots = append(l.slots, make([]slot, n)...)
	}
	l.generation++
	*l.slotLocked(fd) = slot{u, l.generation}
	if err := l.controlLocked(syscall.EPOLL_CTL_ADD, fd, wantIn); err != nil {
		l.removeLocked(fd)
		return err
	}
	return nil
}

// watchLocked changes what fd is watched for.
func (l *loop) watchLocked(fd int32, events uint32) {
	_ = l.controlLocked(syscall.EPOLL_CTL_MOD, fd, events)
}

// removeLocked stops watching fd, which is closed next or was taken out before.
func (l *loop) removeLocked(fd int32) { *l.slotLocked(fd) = slot{} }

func (l *loop) controlLocked(op int, fd int32, events uint32) error {
	if l.closed {
		return os.ErrClosed
	}
	e := syscall.EpollEvent{Events: events, Fd: fd, Pad: int32(l.slotLocked(fd).generation)}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(l.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// hurry has the loop refuse those whose head should come before end, and has not: their
// sockets have room, so that being watched for it wakes the loop at once.
func (l *loop) hurry(end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := l.heads.first; a != nil && a.deadline.Before(end); a = a.next {
		if !a.hurried {
			a.hurried = true
			l.watchLocked(a.fd, wantIn|wantOut)
		}
	}
}

// waiters returns those who wait for the authenticator or the router.
func (l *loop) waiters() (all []*arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := l.waiting.first; a != nil; a = a.next {
		all = append(all, a)
	}
	return all
}

// stalled returns the sessions whose peers have taken nothing since then.
func (l *loop) stalled(now moment, since time.Duration) (all []*session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w, at := range l.blocked {
		if now.since(at) >= since {
			all = append(all, w.session)
		}
	}
	return all
}

// sessions returns those that are connected.
func (l *loop) sessions() (all []*session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.slots {
		if w, ok := s.user.(*pollWire); ok {
			all = append(all, w.session)
		}
	}
	return all
}

// close ends run.
func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.file.Close()
}
