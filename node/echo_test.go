package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

// echo is a protocol of binary messages whose client speaks first, by saying who it is, and
// whose sessions join several addresses. It echoes what it does not understand.
type echo struct{ greeted bool }

var echoTraits = traits{subprotocol: "echo.v1", order: clientFirst, binary: true, sends: ws.OpBinary, memberships: 2}

func (*echo) traits() *traits { return &echoTraits }

func (e *echo) receive(s *session, op ws.OpCode, payload []byte) error {
	if op != ws.OpBinary {
		return closedInternal
	}
	if !e.greeted {
		e.greeted = true
		s.identify(payload)
		return nil
	}
	if !s.isMember() {
		return closedProtocol
	}
	word, rest, _ := strings.Cut(string(payload), " ")
	switch word {
	case "join":
		s.join(rest, func(err error) { e.say(s, "joined ", rest, err) })
	case "part":
		s.part(rest)
		e.say(s, "parted ", rest, nil)
	case "send":
		s.send(router.Message{To: s.address([]byte(rest)), Data: []byte("data"), Ref: []byte("1"), Receipt: true})
	default:
		s.reply(ws.OpBinary, payload)
	}
	return nil
}

func (*echo) say(s *session, word, what string, err error) {
	if err != nil {
		what += ": " + err.Error()
	}
	s.reply(ws.OpBinary, []byte(word+what))
}

func (e *echo) ping(s *session) { e.say(s, "are you there?", "", nil) }

func (e *echo) evicted(s *session, address string, _ error) closeReason {
	if address == s.client {
		return closedReplaced
	}
	e.say(s, "evicted ", address, nil)
	return stillOpen
}

func (*echo) appendWelcome(b []byte, s *session) []byte {
	return append(append(b, "hello "...), s.client...)
}

func (e *echo) messageSize(m *router.Message) int { return len(e.appendMessage(nil, m)) }

func (*echo) appendMessage(b []byte, m *router.Message) []byte {
	return fmt.Appendf(b, "to %s: %s", m.To, m.Data)
}

func (*echo) appendReceipt(b, _ []byte, outcome router.Outcome, _ string) []byte {
	return append(b, outcome.String()...)
}

func (*echo) appendBye(b []byte, c *closing) []byte { return append(append(b, "bye "...), c.label...) }

func (*echo) appendDropped(b []byte, count uint32) []byte { return fmt.Appendf(b, "dropped %d", count) }

// hello is an authenticator that believes first messages, at once or later.
type hello struct {
	None
	later chan struct{} // nil: at once
}

func (h hello) AuthenticateNow(shown *Handshake) (Identity, error) {
	switch {
	case shown.First == nil:
		return h.None.AuthenticateNow(shown)
	case h.later != nil:
		return Identity{}, ErrLater
	}
	return h.believe(shown)
}

func (h hello) Authenticate(ctx context.Context, shown *Handshake) (Identity, error) {
	select {
	case <-h.later:
		return h.believe(shown)
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
}

func (h hello) believe(shown *Handshake) (Identity, error) {
	client, ok := bytes.CutPrefix(shown.First, []byte("I am "))
	if !ok || !bytes.Contains(shown.Head, []byte("GET /echo")) {
		return Identity{}, &Denial{Status: http.StatusUnauthorized, Text: "say who you are"}
	}
	return Identity{Client: string(client)}, nil
}

// startEcho starts a node that speaks echo at /echo, beside beeline.v1.
func startEcho(t *testing.T, h hello, change func(*Options, *localExchange)) *rig {
	t.Helper()
	o, x := startOptions(t)
	o.Authenticator = h
	if change != nil {
		change(&o, x)
	}
	return startWith(t, o, x, testEngine, func(n *Node) {
		n.paths["/echo"] = &endpoint{&echoTraits, func() protocol { return new(echo) }}
	})
}

// upgrade returns a client that has said nothing but behind, with the request.
func (n *rig) upgrade(name, behind string) *client {
	n.t.Helper()
	conn := dial(n.t, n.Addr())
	io.WriteString(conn, upgradeHead("/echo", "Sec-WebSocket-Protocol: echo.v1\r\n")+behind)
	c := &client{n.t, conn, bufio.NewReader(conn), name}
	if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Protocol") != "echo.v1" {
		n.t.Fatalf("response: %v", r)
	}
	return c
}

func (n *rig) greet(name string) *client {
	n.t.Helper()
	c := n.upgrade(name, "")
	c.tell("I am " + name)
	c.want(ws.OpBinary, "hello "+name)
	return c
}

func (c *client) tell(text string) { c.t.Helper(); c.write(frame(ws.OpBinary, text)) }

func (n *rig) wantNoSlotTaken() {
	n.t.Helper()
	eventually(n.t, "no slot is taken but the next one's", func() bool { return len(n.handshakes.slots) <= 1 })
}

func TestClientThatSpeaksFirst(t *testing.T) {
	n := startEcho(t, hello{}, nil)
	silent := n.upgrade("silent", "")
	eventually(t, "it keeps its slot", func() bool { return len(n.handshakes.slots) == 2 })
	if n.x.members("") != 0 {
		t.Error("it has joined before anybody knows who it is")
	}
	silent.tell("I am alice")
	silent.want(ws.OpBinary, "hello alice")
	n.wantNoSlotTaken()
	n.wantCount(n.counts.connects, resultWelcomed, 1)
	silent.tell("\xff\x00")
	silent.want(ws.OpBinary, "\xff\x00")
	eager := n.upgrade("eager", string(frame(ws.OpBinary, "I am bob")))
	eager.want(ws.OpBinary, "hello bob")
	eager.tell("send alice")
	eager.want(ws.OpBinary, "delivered")
	silent.want(ws.OpBinary, "to alice: data")
	plain := connect(t, n.Addr(), "carol") // the other protocol beside
	plain.send("alice", `"json"`, "1")
	plain.wantReceipt("1", "delivered")
	silent.want(ws.OpBinary, `to alice: "json"`)
}

func TestTextIsNotForABinaryProtocol(t *testing.T) {
	n := startEcho(t, hello{}, nil)
	c := n.greet("alice")
	c.say("text")
	c.want(ws.OpClose, "\x03\xeb")
}

// What is delivered before the router has answered the join waits for the welcome.
func TestNothingGoesBeforeALateWelcome(t *testing.T) {
	joining, proceed := make(chan struct{}), make(chan struct{})
	n := startEcho(t, hello{}, func(_ *Options, x *localExchange) {
		x.joinError = func(string) error { close(joining); <-proceed; return nil }
	})
	c := n.upgrade("alice", "")
	c.tell("I am alice")
	receiveOf(t, joining, "it joins")
	s := n.only()
	if got := s.Deliver(&router.Message{From: "bob", To: "alice", Data: []byte("early")}); got != router.Delivered {
		t.Errorf("outcome %v", got)
	}
	c.write(frame(ws.OpPing, "")) // its answer waits, too
	eventually(t, "the pong waits", func() bool { return queued(s) > frameSize(len("to alice: early")) })
	close(proceed)
	c.want(ws.OpBinary, "hello alice")
	c.want(ws.OpBinary, "to alice: early")
	c.want(ws.OpPong, "")
}

// joinsSlowly returns a node whose joins wait, a client that joins, its session, and what
// lets the join proceed.
func joinsSlowly(t *testing.T) (n *rig, c *client, s *session, proceed func()) {
	t.Helper()
	joining, answer := make(chan struct{}), make(chan struct{})
	proceed = sync.OnceFunc(func() { close(answer) })
	n = startEcho(t, hello{}, func(_ *Options, x *localExchange) {
		x.joinError = func(string) error { close(joining); <-answer; return nil }
	})
	t.Cleanup(proceed)
	c = n.upgrade("alice", "")
	c.tell("I am alice")
	receiveOf(t, joining, "it joins")
	return n, c, n.only(), proceed
}

// What a client has missed before its welcome it is told behind it.
func TestMissedBeforeALateWelcome(t *testing.T) {
	n, c, s, proceed := joinsSlowly(t)
	long := make([]byte, n.opts.MaxQueue)
	if got := s.Deliver(&router.Message{From: "bob", To: "alice", Data: long}); got != router.Overloaded {
		t.Errorf("outcome %v of what is longer than a queue", got)
	}
	s.Deliver(&router.Message{From: "bob", To: "alice", Data: []byte("early")})
	proceed()
	c.want(ws.OpBinary, "hello alice")
	c.want(ws.OpBinary, "dropped 1")
	c.want(ws.OpBinary, "to alice: early")
	eventually(t, "nothing waits", func() bool { return n.queued.Load() == 0 })
}

// A session that closes before its welcome is sent nothing of what was delivered.
func TestSessionThatClosesBeforeALateWelcome(t *testing.T) {
	_, c, s, _ := joinsSlowly(t)
	s.Deliver(&router.Message{From: "bob", To: "alice", Data: []byte("early")})
	s.close(closedDraining)
	c.want(ws.OpBinary, "bye draining")
	c.wantClose(ws.StatusGoingAway)
}

// The log of sessions reads the client's name while the authenticator's answer comes.
func TestIdentityComesWhileTheSessionOpens(t *testing.T) {
	known := make(chan struct{})
	close(known)
	n := startEcho(t, hello{later: known}, func(o *Options, _ *localExchange) {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	for range 50 {
		c := n.upgrade("eager", string(frame(ws.OpBinary, "I am eager")))
		c.want(ws.OpBinary, "hello eager")
		c.conn.Close()
	}
}

// only returns the node's only session.
func (n *rig) only() *session {
	n.t.Helper()
	all := n.table.snapshot(nil)
	if len(all) != 1 {
		n.t.Fatalf("there are %d sessions", len(all))
	}
	return all[0]
}

func TestClientThatIsNotWelcomed(t *testing.T) {
	for name, row := range map[string]struct {
		says   string
		err    error
		code   ws.StatusCode
		result string
	}{
		"denied":      {"who cares", nil, codeDenied, resultBadClient},
		"no name":     {"I am \n", nil, codeDenied, resultBadClient},
		"twice":       {"I am bob", router.ErrDuplicate, codeDuplicate, resultDuplicate},
		"unavailable": {"I am bob", router.ErrUnavailable, codeTryLater, resultUnavailable},
		"too often":   {"I am bob", router.ErrTooManySessions, codeTryLater, resultClientFull},
	} {
		t.Run(name, func(t *testing.T) {
			n := startEcho(t, hello{}, func(_ *Options, x *localExchange) {
				x.joinError = func(string) error { return row.err }
			})
			c := n.upgrade(name, "")
			c.tell(row.says)
			c.wantClose(row.code)
			n.wantNoSlotTaken()
			n.wantCount(n.counts.connects, row.result, 1)
			n.wantCount(n.counts.connects, resultWelcomed, 0)
			if n.x.members("bob") != 0 {
				t.Error("it is a member")
			}
		})
	}
}

func TestClientThatNeverSpeaks(t *testing.T) {
	n := startEcho(t, hello{later: make(chan struct{})}, func(o *Options, _ *localExchange) { o.HandshakeTimeout = 300 * time.Millisecond })
	silent, unanswered := n.upgradeInTime(""), n.upgradeInTime(string(frame(ws.OpBinary, "I am bob")))
	silent.wantClose(codeOpening)
	unanswered.wantClose(codeOpening)
	n.wantNoSlotTaken()
	eventually(t, "no session is left", func() bool { return n.table.size() == 0 })
}

// While no slot is free, a client that is to speak first and does not makes room for one
// that does, long before the time for a handshake is over. One whose question is under way
// stays.
func TestClientsThatDoNotSpeakMakeRoomForNewcomers(t *testing.T) {
	later := make(chan struct{})
	n := startEcho(t, hello{later: later}, func(o *Options, _ *localExchange) {
		o.MaxHandshakes, o.HandshakeTimeout = 3, 10*time.Minute
	})
	asked := n.upgrade("asked", "")
	asked.tell("I am asked")
	n.wantAsking(1)
	silent := n.upgrade("silent", "")
	for range 4 {
		io.WriteString(dial(t, n.Addr()), upgradeHead("/echo"))
	}
	connect(t, n.Addr(), "newcomer")
	silent.wantClose(codeOpening)
	close(later)
	asked.want(ws.OpBinary, "hello asked")
	n.greet("another")
}

// wantAsking waits until so many sessions have a question under way before their welcome.
func (n *rig) wantAsking(want int) {
	n.t.Helper()
	eventually(n.t, "questions are under way", func() bool {
		asking := 0
		for _, s := range n.table.snapshot(nil) {
			s.mu.Lock()
			if o := s.special.opening; o != nil && o.asking {
				asking++
			}
			s.mu.Unlock()
		}
		return asking == want
	})
}

// upgradeInTime is upgrade for a node whose heads have little time: less than this process, or
// the machine, may stand still.
func (n *rig) upgradeInTime(behind string) *client {
	n.t.Helper()
	for {
		conn := dial(n.t, n.Addr())
		io.WriteString(conn, upgradeHead("/echo")+behind)
		c := &client{n.t, conn, bufio.NewReader(conn), "in time"}
		switch r := c.response(); r.StatusCode {
		case http.StatusSwitchingProtocols:
			return c
		case http.StatusRequestTimeout:
		default:
			n.t.Fatalf("response: %v", r)
		}
	}
}

// Its slot is another's only when the question about it has its answer.
func TestClientThatGoesBeforeALateWelcome(t *testing.T) {
	joining, proceed := make(chan struct{}), make(chan struct{})
	n := startEcho(t, hello{}, func(_ *Options, x *localExchange) {
		x.joinError = func(string) error { close(joining); <-proceed; return nil }
	})
	c := n.upgrade("gone", "")
	c.tell("I am gone")
	receiveOf(t, joining, "it joins")
	c.conn.Close()
	eventually(t, "its claim is withdrawn", func() bool { return n.x.withdrawn.Load() == 1 })
	eventually(t, "it has no session", func() bool { return n.table.size() == 0 })
	eventually(t, "its slot and the next one are taken", func() bool { return len(n.handshakes.slots) == 2 })
	close(proceed)
	n.wantNoSlotTaken()
	eventually(t, "it has left", func() bool { return n.x.members("gone") == 0 })
	n.wantCount(n.counts.connects, resultWelcomed, 0)
}

func TestNodeStopsBeforeALateWelcome(t *testing.T) {
	n := startEcho(t, hello{later: make(chan struct{})}, nil)
	silent, asked := n.upgrade("silent", ""), n.upgrade("asked", "")
	asked.tell("I am bob")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop(t, n.Node)
	}()
	silent.wantClose(ws.StatusGoingAway)
	asked.wantClose(ws.StatusGoingAway)
	receiveOf(t, stopped, "the node stops")
	n.wantNoSlotTaken()
}

func TestProtocolPings(t *testing.T) {
	n := startEcho(t, hello{}, func(o *Options, _ *localExchange) { o.PingInterval = 50 * time.Millisecond })
	const ping = "are you there?"
	c := n.upgrade("alice", "")
	c.tell("I am alice")
	c.wantBehind(ping, "hello alice")
	for range 2 {
		c.want(ws.OpBinary, ping)
		c.tell("yes")
		c.wantBehind(ping, "yes")
	}
}

// wantBehind reads a frame that may come behind others that are so.
func (c *client) wantBehind(others, want string) {
	c.t.Helper()
	got := others
	for got == others {
		got = c.want(ws.OpBinary, "")
	}
	if got != want {
		c.t.Fatalf("%s: got %q, want %q", c.name, got, want)
	}
}

func TestSessionOfSeveralAddresses(t *testing.T) {
	n := startEcho(t, hello{}, nil)
	c, other := n.greet("alice"), n.greet("bob")
	for _, address := range []string{"room-1", "room-2"} {
		c.tell("join " + address)
		c.want(ws.OpBinary, "joined "+address)
		other.tell("send " + address)
		other.want(ws.OpBinary, "delivered")
		c.want(ws.OpBinary, "to "+address+": data")
	}
	for address, err := range map[string]error{"room-3": errTooManyPlaces, "room-1": errHasPlace, "alice": errHasPlace} {
		c.tell("join " + address)
		c.want(ws.OpBinary, "joined "+address+": "+err.Error())
	}
	c.tell("part room-1")
	c.want(ws.OpBinary, "parted room-1")
	eventually(t, "it has left one address", func() bool { return n.x.members("room-1") == 0 })
	if n.x.members("room-2") != 1 || n.x.members("alice") != 1 {
		t.Error("it has left others, too")
	}
	c.conn.Close()
	eventually(t, "it has left all", func() bool { return n.x.members("room-2")+n.x.members("alice") == 0 })
}

// A session that joins an address again right after it parted is a member of it once.
func TestAddressIsJoinedAgainAtOnce(t *testing.T) {
	n := startEcho(t, hello{}, nil)
	c := n.greet("alice")
	c.tell("join room-1")
	c.want(ws.OpBinary, "joined room-1")
	for range 100 {
		c.write(append(frame(ws.OpBinary, "part room-1"), frame(ws.OpBinary, "join room-1")...))
		c.want(ws.OpBinary, "parted room-1")
		if got := c.want(ws.OpBinary, "joined room-1"); got != "joined room-1" {
			t.Fatal(got)
		}
	}
	if members := n.x.members("room-1"); members != 1 {
		t.Errorf("it is a member %d times", members)
	}
}

// An eviction ends what the protocol says: another address's only the membership.
func TestEvictionFromOneAddress(t *testing.T) {
	n := startEcho(t, hello{}, nil)
	c := n.greet("alice")
	c.tell("join room-1")
	c.want(ws.OpBinary, "joined room-1")
	n.x.evict("room-1", router.ErrLost)
	c.want(ws.OpBinary, "evicted room-1")
	c.tell("join room-1") // there is room again
	if got := c.want(ws.OpBinary, "joined room-1"); got != "joined room-1" || n.x.members("room-1") != 1 {
		t.Errorf("after its eviction: %s", got)
	}
	n.x.evict("alice", router.ErrReplaced)
	c.want(ws.OpBinary, "bye replaced")
	c.wantClose(codeReplaced)
	eventually(t, "it has left all", func() bool { return n.x.members("room-1") == 0 })
}

// evict takes all sessions out of an address.
func (x *localExchange) evict(address string, reason error) {
	x.mu.Lock()
	all := x.sessions[address]
	x.sessions[address] = nil
	x.evicted = true
	x.mu.Unlock()
	for _, s := range all {
		s.Evict(address, reason)
	}
}

// A session that closes while it joins further addresses leaves those, too.
func TestSessionThatEndsWhileItJoinsMore(t *testing.T) {
	proceed := make(chan struct{})
	n := startEcho(t, hello{}, func(_ *Options, x *localExchange) {
		x.joinError = func(address string) error {
			if strings.HasPrefix(address, "room") {
				<-proceed
			}
			return nil
		}
	})
	c := n.greet("alice")
	c.tell("join room-1")
	c.tell("join room-2")
	c.tell("part room-2")
	c.want(ws.OpBinary, "parted room-2")
	c.conn.Close()
	eventually(t, "its claims are withdrawn", func() bool { return n.x.withdrawn.Load() >= 2 })
	close(proceed)
	eventually(t, "it has left all", func() bool {
		return n.x.members("room-1")+n.x.members("room-2")+n.x.members("alice") == 0 && n.leavingNobody()
	})
}

func (n *rig) leavingNobody() bool {
	n.leaving.mu.Lock()
	defer n.leaving.mu.Unlock()
	return n.leaving.running == 0
}

func TestJoinOfAnotherAddressFails(t *testing.T) {
	n := startEcho(t, hello{}, func(_ *Options, x *localExchange) {
		x.joinError = func(address string) error {
			if address == "room-1" {
				return errors.New("no")
			}
			return nil
		}
	})
	c := n.greet("alice")
	for range 3 { // each leaves room for the next
		c.tell("join room-1")
		c.want(ws.OpBinary, "joined room-1: no")
	}
	if got := testutil.ToFloat64(n.counts.closes[closedInternal]); got != 0 {
		t.Errorf("%v sessions were closed", got)
	}
}
