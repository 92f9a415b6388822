package bus

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

var errReply = errors.New("unexpected reply to PUBLISH")

// pollLocked reads the replies that have come on a detached connection. One that Redis has
// closed ends here, even if nothing is awaited.
func (p *publisher) pollLocked(c *publishConn) {
	for more := c.detached; more && !c.ended; {
		room := c.in[len(c.in):cap(c.in)]
		n, err := c.conn.TryRead(room)
		if more = n == len(room); err == nil && n > 0 {
			err = p.takeRepliesLocked(c, n)
		}
		if err != nil {
			p.dropLocked(c, err)
		}
	}
}

// poll finds out whether Redis has closed a connection: better before a batch does, and
// while the outage lasts that ended it, not after.
func (p *publisher) poll() {
	p.mu.Lock()
	for _, c := range slices.Backward(p.mu.conns) { // one that fails is removed
		p.pollLocked(c)
	}
	due := len(p.mu.results) > 0
	p.mu.Unlock()
	if due {
		p.Flush()
	}
}

// readAll reads the replies of a connection that is not detached.
func (p *publisher) readAll(c *publishConn) {
	for err := error(nil); err == nil; p.Flush() {
		var n int
		n, err = c.conn.Read(c.in[len(c.in):cap(c.in)])
		p.mu.Lock()
		if err != nil {
			err = fmt.Errorf("read replies: %w", err)
		} else {
			err = p.takeRepliesLocked(c, n)
		}
		if err != nil {
			p.dropLocked(c, err)
		}
		p.mu.Unlock()
	}
}

// takeRepliesLocked makes results of the replies among the n bytes that were read.
func (p *publisher) takeRepliesLocked(c *publishConn, n int) error {
	b := c.in[:len(c.in)+n]
	for {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			break
		}
		if c.unansweredLocked() == 0 {
			return errReply
		}
		batch := &c.sent[c.replied]
		r := Result{Tag: batch.tag}
		n, answer, err := readReply(line)
		switch {
		case err != nil:
			return err
		case answer != "":
			r.Err = p.place.refusedLocked(c, batch, answer)
		default:
			r.Receivers = n
			p.mu.refused = false
		}
		p.mu.results = append(p.mu.results, r)
		*batch = sentBatch{}
		c.replied++
		b = rest
	}
	if len(b) == cap(c.in) {
		return errReply
	}
	c.progress = time.Now()
	if c.replied > len(c.sent)/2 {
		c.sent, c.replied = slices.Delete(c.sent, 0, c.replied), 0
	}
	c.in = append(c.in[:0], b...)
	return nil
}

// refuseLocked has the log told that Redis answers PUBLISH with an error, once until one
// succeeds.
func (p *publisher) refuseLocked(err error) {
	if !p.mu.refused {
		p.mu.refusal = err
	}
	p.mu.refused = true
}

// readReply reads a number, or an error that Redis answers.
func readReply(line []byte) (n int64, answer string, err error) {
	if len(line) < 2 {
		return 0, "", errReply
	}
	switch line[0] {
	case ':':
		n, err = strconv.ParseInt(string(line[1:]), 10, 64)
		return n, "", err
	case '-':
		return 0, string(line[1:]), nil
	}
	return 0, "", errReply
}
