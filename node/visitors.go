package node

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// visitors are the connections of an HTTP server, which keep-alive would let stay
// for as long as clients like. There are at most limit: for one more, the one that
// has been idle longest is closed, and if none is idle, the one whose request has
// taken longest. One that has not sent its first request is idle.
type visitors struct {
	limit int // static

	mu   sync.Mutex
	idle list.List // the longest idle first
	busy list.List // the longest busy first
	of   map[net.Conn]visitor
}

// visitor is a connection's place.
type visitor struct {
	in    *list.List
	place *list.Element
}

func newVisitors(limit int) *visitors {
	return &visitors{limit: limit, of: map[net.Conn]visitor{}}
}

// changed is called by the server when a connection's state has changed.
func (v *visitors) changed(conn net.Conn, state http.ConnState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget(conn)
	switch state {
	case http.StateNew:
		if len(v.of) >= v.limit {
			v.dismiss()
		}
		v.add(&v.idle, conn)
	case http.StateIdle:
		v.add(&v.idle, conn)
	case http.StateActive:
		v.add(&v.busy, conn)
	}
}

func (v *visitors) add(in *list.List, conn net.Conn) { v.of[conn] = visitor{in, in.PushBack(conn)} }

func (v *visitors) forget(conn net.Conn) {
	if old, ok := v.of[conn]; ok {
		old.in.Remove(old.place)
		delete(v.of, conn)
	}
}

// dismiss closes a connection. The server then notices that it has ended.
func (v *visitors) dismiss() {
	first := v.idle.Front()
	if first == nil {
		first = v.busy.Front()
	}
	conn := first.Value.(net.Conn)
	v.forget(conn)
	if page, ok := conn.(*pageConn); ok {
		conn = page.Conn // whose own Close is the server's
	}
	conn.Close()
}
