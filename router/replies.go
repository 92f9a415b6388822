package router

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// poll takes the replies that have come on a detached connection.
func (p *publisher) poll() {
	for p.conn != nil && p.detached {
		n, err := p.conn.TryRead(p.in[len(p.in):cap(p.in)])
		if err == nil && n == 0 {
			return
		}
		if err == nil {
			err = p.take(n)
		}
		if err != nil {
			p.drop(p.conn, err)
		}
	}
}

// maxReplies is how much is read of the replies at a time, in bytes.
const maxReplies = 4 << 10

// read takes the replies of a connection that is not detached.
func (p *publisher) read(conn wire) error {
	for {
		n, err := conn.Read(p.in[len(p.in):cap(p.in)])
		if err != nil {
			return fmt.Errorf("read replies: %w", err)
		}
		p.r.mu.Lock()
		err = p.take(n)
		p.r.unlock()
		if err != nil {
			return err
		}
	}
}

var errReply = errors.New("unexpected reply to PUBLISH")

// take hands the replies among the n bytes that were read to their posts, with mu
// held.
func (p *publisher) take(n int) error {
	b := p.in[:len(p.in)+n]
	for {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			break
		}
		n, failed, err := readReply(line)
		if err != nil || p.replies == len(p.sent) {
			return errReply
		}
		if failed != nil {
			p.refused(failed)
		} else {
			p.warned = false
		}
		p.sent[p.replies].replied(p.r, n, failed)
		p.replies++
		b = rest
	}
	p.progress = p.r.now()
	if p.replies > len(p.sent)/2 {
		p.sent, p.replies = slices.Delete(p.sent, 0, p.replies), 0
	}
	if len(b) == cap(p.in) {
		return errReply
	}
	p.in = append(p.in[:0], b...)
	return nil
}

// readReply reads an integer, or an error that Redis answers.
func readReply(line []byte) (n int64, failed, err error) {
	if len(line) < 2 {
		return 0, nil, errReply
	}
	switch line[0] {
	case ':':
		n, err = strconv.ParseInt(string(line[1:]), 10, 64)
		return n, nil, err
	case '-':
		return 0, errors.New(string(line[1:])), nil
	}
	return 0, nil, errReply
}

// watch looks at the replies, and ends a connection on which one is overdue. It is
// called with mu held.
func (p *publisher) watch(now time.Time) {
	p.looks = false
	p.poll()
	switch {
	case p.conn == nil || len(p.sent) == 0:
		return
	case now.Sub(p.progress) > commitTimeout:
		p.drop(p.conn, errSilent)
		return
	}
	p.looks = true
	p.r.schedule(now.Add(watchReplies))
}

var errSilent = errors.New("Redis does not reply")
