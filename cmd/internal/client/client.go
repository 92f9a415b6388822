package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/cmd/internal/hostport"
)

const (
	subprotocol = "beeline.v1"
	// maxFrame bounds what the client takes from a node.
	maxFrame = 64 << 20
	// writeTimeout bounds what the client waits for a node to read.
	writeTimeout = 10 * time.Second
)

// Frame is one JSON object of the plain protocol, with the fields of all types.
type Frame struct {
	Type    string          `json:"type"`
	Client  string          `json:"client,omitempty"`
	Session string          `json:"session,omitempty"`
	Node    string          `json:"node,omitempty"`
	From    string          `json:"from,omitempty"`
	To      string          `json:"to,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	ID      string          `json:"id,omitempty"`
	Outcome string          `json:"outcome,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Confirm bool            `json:"confirm,omitempty"`
	Count   int             `json:"count,omitempty"`
}

// Client is a session as its client sees it. One goroutine reads; any may write.
type Client struct {
	Name, Session, Node string // as the welcome said

	conn   net.Conn
	in     *bufio.Reader
	partly []byte // the fragments of a message so far

	writing sync.Mutex
}

// Dial connects to rawURL as name and returns once it is welcomed. The path may be
// left out, and a node's http:// URL does as well.
func Dial(ctx context.Context, rawURL, name string) (*Client, error) {
	target, err := clientURL(rawURL, name)
	if err != nil {
		return nil, err
	}
	var refused error
	dialer := ws.Dialer{
		Protocols:     []string{subprotocol},
		OnStatusError: func(status int, _ []byte, resp io.Reader) { refused = refusal(status, resp) },
	}
	conn, in, _, err := dialer.Dial(ctx, target)
	if refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", rawURL, err)
	}
	if in == nil {
		in = bufio.NewReader(conn)
	}
	c := &Client{conn: conn, in: in}
	if err := c.awaitWelcome(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// NodeURL completes a node's URL for clients, or says what is wrong with it.
func NodeURL(rawURL string) (string, error) {
	u, err := hostport.ParseURL(rawURL)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("URL %q: allowed is ws://host:port/ws or wss://", rawURL)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return "", fmt.Errorf("URL %q: allowed is ws://host:port/ws or wss://", rawURL)
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/ws"
	}
	return u.String(), nil
}

// clientURL names the client in a node's URL.
func clientURL(rawURL, name string) (string, error) {
	complete, err := NodeURL(rawURL)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(complete)
	if err != nil {
		return "", err
	}
	query := u.Query()
	query.Set("client", name)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// refusal is what a node answers instead of the upgrade: a status and a line.
func refusal(status int, resp io.Reader) error {
	answer, err := http.ReadResponse(bufio.NewReader(resp), nil)
	if err != nil {
		return &RefusedError{Status: status}
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // half a reason is better than none
	return &RefusedError{status, strings.TrimSpace(string(text))}
}

// RefusedError is a node's answer to a client that it does not take.
type RefusedError struct {
	Status int    // HTTP's; 503 from a node that takes nobody now
	Reason string // a line; "" if the node gave none
}

func (e *RefusedError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("connection refused: HTTP status %d", e.Status)
	}
	return fmt.Sprintf("connection refused: HTTP status %d: %s", e.Status, e.Reason)
}

func (c *Client) awaitWelcome(ctx context.Context) error {
	stop := c.interruptedBy(ctx)
	defer stop()
	f, err := c.Next()
	switch {
	case err != nil:
		return fmt.Errorf("wait for the welcome: %w", err)
	case f.Type == "bye":
		return fmt.Errorf("connection refused: %s", f.Reason)
	case f.Type != "welcome":
		return fmt.Errorf("wait for the welcome: got %q", f.Type)
	}
	c.Name, c.Session, c.Node = f.Client, f.Session, f.Node
	return nil
}

// interruptedBy makes reads fail once ctx ends, until stop is called.
func (c *Client) interruptedBy(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
}

// Send sends data, which is JSON, to an address. A receipt comes back under id.
func (c *Client) Send(to, id string, data json.RawMessage) error {
	return c.send(Frame{Type: "send", To: to, ID: id}, data)
}

// SendToConfirm is Send, and asks the receiver for its own acknowledgement.
func (c *Client) SendToConfirm(to, id string, data json.RawMessage) error {
	return c.send(Frame{Type: "send", To: to, ID: id, Confirm: true}, data)
}

// Ack acknowledges a message that asks for it, by the message's own ID.
func (c *Client) Ack(id string) error {
	text, err := json.Marshal(Frame{Type: "ack", ID: id})
	if err != nil {
		return err
	}
	return c.write(ws.NewTextFrame(text))
}

func (c *Client) send(f Frame, data json.RawMessage) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	// The encoder would write data anew; it is to arrive as it was given.
	text = append(text[:len(text)-1], `,"data":`...)
	text = append(append(text, data...), '}')
	return c.write(ws.NewTextFrame(text))
}

// write sends one frame in one system call.
func (c *Client) write(f ws.Frame) error {
	b, err := ws.CompileFrame(ws.MaskFrameInPlace(f))
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err = c.conn.Write(b)
	return err
}

// Next returns the next frame of the protocol, and answers pings meanwhile.
func (c *Client) Next() (Frame, error) {
	text, err := c.NextText()
	if err != nil {
		return Frame{}, err
	}
	return Parse(text)
}

// Parse reads a frame of the protocol.
func Parse(text []byte) (f Frame, err error) {
	if err := json.Unmarshal(text, &f); err != nil {
		return Frame{}, fmt.Errorf("the node's message is not of %s: %w", subprotocol, err)
	}
	return f, nil
}

// NextText returns the next frame of the protocol as it came, and answers pings
// meanwhile.
func (c *Client) NextText() ([]byte, error) {
	for {
		h, err := ws.ReadHeader(c.in)
		if err != nil {
			return nil, err
		}
		if h.Length > maxFrame-int64(len(c.partly)) {
			return nil, errors.New("the node's message is too long")
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(c.in, payload); err != nil {
			return nil, err
		}
		text, err := c.take(h, payload)
		if err != nil || text != nil {
			return text, err
		}
	}
}

// take deals with one WebSocket frame and returns the text that it completes.
func (c *Client) take(h ws.Header, payload []byte) ([]byte, error) {
	switch h.OpCode {
	case ws.OpPing:
		return nil, c.write(ws.NewPongFrame(payload))
	case ws.OpClose:
		return nil, closedBy(payload)
	case ws.OpText, ws.OpContinuation:
		c.partly = append(c.partly, payload...)
		if !h.Fin {
			return nil, nil
		}
		text := c.partly
		c.partly = nil
		return text, nil
	}
	return nil, nil
}

// closedBy is the node's reason for closing.
func closedBy(payload []byte) error {
	if len(payload) < 2 {
		return errors.New("the node closed the connection")
	}
	code, reason := ws.ParseCloseFrameData(payload)
	return fmt.Errorf("the node closed the connection: %d %s", code, reason)
}

// Close says goodbye and closes; it doesn't wait for the answer.
func (c *Client) Close() {
	_ = c.write(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))) // the connection may be gone
	c.conn.Close()
}

// Cut ends the connection without a goodbye.
func (c *Client) Cut() { c.conn.Close() }

// SendAndWait sends one message, under a name of its own, and returns its receipt.
func (c *Client) SendAndWait(ctx context.Context, to string, data json.RawMessage) (Frame, error) {
	return c.sendAndWait(ctx, Frame{Type: "send", To: to}, data)
}

// SendAndConfirm is SendAndWait, and asks the receiver for its own acknowledgement.
func (c *Client) SendAndConfirm(ctx context.Context, to string, data json.RawMessage) (Frame, error) {
	return c.sendAndWait(ctx, Frame{Type: "send", To: to, Confirm: true}, data)
}

func (c *Client) sendAndWait(ctx context.Context, frame Frame, data json.RawMessage) (Frame, error) {
	id := strconv.FormatUint(rand.Uint64(), 36) // another one would make it a repeat
	frame.ID = id
	stop := c.interruptedBy(ctx)
	defer stop()
	if err := c.send(frame, data); err != nil {
		return Frame{}, err
	}
	for {
		f, err := c.Next()
		switch {
		case ctx.Err() != nil:
			return Frame{}, fmt.Errorf("no receipt: %w", ctx.Err())
		case err != nil:
			return Frame{}, err
		case f.Type == "receipt" && f.ID == id:
			return f, nil
		case f.Type == "error":
			return Frame{}, fmt.Errorf("%s: %s", f.Code, f.Message)
		case f.Type == "bye":
			return Frame{}, fmt.Errorf("the node said bye: %s", f.Reason)
		}
	}
}
