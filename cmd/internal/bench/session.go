package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
)

const (
	// dialTimeout bounds the way from the dial to the welcome.
	dialTimeout = 30 * time.Second
	// notReadyPause is between two dials to a node that is not ready.
	notReadyPause = 20 * time.Millisecond
	// writeTimeout bounds what a session waits for its node to read.
	writeTimeout = 10 * time.Second
	// firstBuffer is what a session reads into, until a frame needs more.
	firstBuffer = 512
)

var errNotWelcomed = errors.New("the node did not welcome the client")

// session is one connection of a client. One goroutine reads; any may write.
type session struct {
	client uint32
	number uint32 // of all sessions of the fleet
	node   int    // where it is connected, by the fleet's list

	conn    net.Conn
	writing sync.Mutex
	ending  atomic.Bool // its end is nothing to wonder about
	welcome chan error  // one value: when it may be used, or why not

	// The reader's own.
	inbox    inbox
	welcomed bool
}

// dial opens a connection and returns what the node sent right behind the upgrade.
func dial(ctx context.Context, nodeURL, name string) (conn net.Conn, early []byte, err error) {
	dialer := ws.Dialer{Protocols: []string{"beeline.v1"}, ReadBufferSize: firstBuffer, WriteBufferSize: firstBuffer}
	separator := "?"
	if strings.Contains(nodeURL, "?") {
		separator = "&"
	}
	conn, in, _, err := dialer.Dial(ctx, nodeURL+separator+"client="+url.QueryEscape(name))
	if err != nil {
		return nil, nil, err
	}
	if in != nil {
		waiting, _ := in.Peek(in.Buffered()) // they are there
		early = append(early, waiting...)
		ws.PutReader(in)
	}
	return conn, early, nil
}

// dialReady is dial, but a node that welcomes nobody, as for a moment after the machine
// stood still, is asked again until ctx ends.
func dialReady(ctx context.Context, nodeURL, name string) (conn net.Conn, early []byte, err error) {
	for {
		conn, early, err = dial(ctx, nodeURL, name)
		if status := ws.StatusError(0); !errors.As(err, &status) || int(status) != http.StatusServiceUnavailable {
			return conn, early, err
		}
		if pause(ctx, notReadyPause); ctx.Err() != nil {
			return nil, nil, err
		}
	}
}

// write sends a whole frame.
func (s *session) write(frame []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(frame)
	return err
}

// read hands each frame of the plain protocol to take, until the connection ends.
func (s *session) read(early []byte, take func(*session, []byte) error) error {
	buf := make([]byte, max(firstBuffer, len(early)))
	have := copy(buf, early)
	for {
		used := 0
		for {
			op, content, size := cutFrame(buf[used:have])
			if size == 0 {
				break
			}
			if err := s.takeFrame(op, content, take); err != nil {
				return err
			}
			used += size
		}
		have = copy(buf, buf[used:have])
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := s.conn.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
	}
}

func (s *session) takeFrame(op ws.OpCode, content []byte, take func(*session, []byte) error) error {
	switch op {
	case ws.OpText:
		return take(s, content)
	case ws.OpPing:
		b := append(make([]byte, maxHeader), content...)
		return s.write(prependHeader(b, ws.OpPong))
	case ws.OpClose:
		if len(content) < 2 {
			return errors.New("the node closed the connection")
		}
		code, reason := ws.ParseCloseFrameData(content)
		return fmt.Errorf("the node closed the connection: %d %s", code, reason)
	}
	return nil
}

// close ends the session; its reader returns.
func (s *session) close() {
	s.ending.Store(true)
	s.conn.Close()
}
