package bus

import (
	"strconv"
	"time"
)

const (
	// maxUnreplied bounds the PUBLISHes of a connection whose replies were not read.
	maxUnreplied = 1 << 13
	// maxOut is how much is written at a time, about, and maxOutKept how much room for it
	// is kept, in bytes.
	maxOut     = 4 << 20
	maxOutKept = 1 << 20
	// maxReplies is how much is read of the replies at a time, in bytes.
	maxReplies = 4 << 10
)

// publishConn is a connection that publishes. Whoever flushes puts batches and writes;
// publisher.mu guards the rest.
type publishConn struct {
	conn     Conn
	server   string // the Cluster's master that it leads to
	detached bool   // from the runtime's poller: replies wake nobody

	// The flushing goroutine's, unless writing.
	out []byte      // commands
	put []sentBatch // what they publish

	sent    []sentBatch // published; the first so many are answered:
	replied int
	writing bool      // out is being written
	wrote   time.Time // the last write
	// progress is when the last reply came, or the first write after all were answered.
	progress time.Time
	in       []byte // a reply that is not complete yet, in room for more

	ended bool
	why   error         // it has ended
	over  chan struct{} // closed then
}

// sentBatch is a PUBLISH without a reply.
type sentBatch struct {
	tag     any
	channel string
}

func newPublishConn(conn Conn) *publishConn {
	return &publishConn{conn: conn, detached: conn.Detach(), in: make([]byte, 0, maxReplies), over: make(chan struct{})}
}

func (c *publishConn) unansweredLocked() int { return len(c.sent) - c.replied }

// takesLocked reports whether batches may be put. Where a goroutine reads the replies,
// what gathers until they have come leaves together; elsewhere only their number is bounded.
func (c *publishConn) takesLocked() bool {
	if c.writing {
		return false
	}
	if c.detached {
		return c.unansweredLocked() < maxUnreplied
	}
	return c.unansweredLocked() == 0
}

// putLocked makes a batch a command.
func (c *publishConn) putLocked(command string, b *Publication) {
	c.out = appendPublish(c.out, command, b.Channel, b.Payload)
	c.put = append(c.put, sentBatch{b.Tag, b.Channel})
}

// writtenLocked notes that the kernel has taken all commands.
func (c *publishConn) writtenLocked() {
	c.writing = false
	if c.out = c.out[:0]; cap(c.out) > maxOutKept {
		c.out = nil
	}
}

// appendPublish appends a command as Redis' protocol (RESP) has it.
func appendPublish(b []byte, command, channel string, payload []byte) []byte {
	b = append(b, "*3\r\n"...)
	b = append(appendLength(b, len(command)), command...)
	b = append(appendLength(append(b, "\r\n"...), len(channel)), channel...)
	b = append(appendLength(append(b, "\r\n"...), len(payload)), payload...)
	return append(b, "\r\n"...)
}

func appendLength(b []byte, n int) []byte {
	return append(strconv.AppendInt(append(b, '$'), int64(n), 10), "\r\n"...)
}
