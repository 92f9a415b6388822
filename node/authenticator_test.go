package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// desk is an authenticator that takes its time: it knows clients by a header field, and
// answers when it is told to. Who has a query it takes for what that says, at once.
type desk struct {
	None
	asked    chan *Handshake
	answers  chan deskAnswer
	under    atomic.Int32 // way
	most     atomic.Int32 // that were under way
	canceled chan error   // causes of contexts that ended before an answer
}

type deskAnswer struct {
	id  Identity
	err error
}

func newDesk() *desk {
	return &desk{asked: make(chan *Handshake, 100), answers: make(chan deskAnswer), canceled: make(chan error, 100)}
}

func (d *desk) AuthenticateNow(h *Handshake) (Identity, error) {
	if len(h.Query) > 0 {
		return d.None.AuthenticateNow(h)
	}
	return Identity{}, ErrLater
}

func (d *desk) Authenticate(ctx context.Context, h *Handshake) (Identity, error) {
	d.most.Store(max(d.most.Load(), d.under.Add(1)))
	defer d.under.Add(-1)
	d.asked <- h.clone()
	select {
	case a := <-d.answers:
		return a.id, a.err
	case <-ctx.Done():
		d.canceled <- ctx.Err()
		return Identity{}, ctx.Err()
	}
}

// startDesk starts a node with a desk.
func startDesk(t *testing.T, change func(*Options, *localExchange)) (*rig, *desk) {
	d := newDesk()
	return start(t, func(o *Options, x *localExchange) {
		o.Authenticator = d
		if change != nil {
			change(o, x)
		}
	}), d
}

// knock is a client whose authentication is under way.
func (n *rig) knock(d *desk, behind string) *client {
	n.t.Helper()
	conn := dial(n.t, n.Addr())
	io.WriteString(conn, upgradeHead("/ws", "Authorization: Bearer secret\r\n")+behind)
	h := receiveOf(n.t, d.asked, "the authenticator is asked")
	if !bytes.HasPrefix(h.Head, []byte("GET /ws HTTP/1.1\r\n")) || !bytes.Contains(h.Head, []byte("Bearer secret")) || h.First != nil {
		n.t.Errorf("the authenticator is shown %q and %q", h.Head, h.First)
	}
	return &client{n.t, conn, bufio.NewReader(conn), "knocking"}
}

func receiveOf[T any](t testing.TB, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
	}
	return v
}

func (d *desk) answer(t testing.TB, id Identity, err error) {
	t.Helper()
	select {
	case d.answers <- deskAnswer{id, err}:
	case <-time.After(patience):
		t.Fatal("nobody waits for the authenticator's answer")
	}
}

func TestIdentityThatTakesTime(t *testing.T) {
	n, d := startDesk(t, nil)
	early := `{"type":"send","to":"alice","data":1,"id":1}`
	c := n.knock(d, string(frame(0x1, early)))
	by := n.bystanders() // whoever is answered at once does not wait
	by.wantUndisturbed()
	if members := n.x.members("alice"); members != 0 {
		t.Errorf("%d sessions joined before it is known who they are", members)
	}
	d.answer(t, Identity{Client: "alice"}, nil)
	if got := c.response().StatusCode; got != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", got)
	}
	c.name = "alice"
	c.want(0x1, `{"type":"welcome","client":"alice"`)
	c.wantMessage("alice", "1")
	c.wantReceipt("1", "delivered")
}

func TestIdentityIsDenied(t *testing.T) {
	n, d := startDesk(t, nil)
	for name, row := range map[string]struct {
		id           Identity
		err          error
		status       int
		header, text string
	}{
		"denied":      {err: &Denial{http.StatusUnauthorized, "bad token: sign it", []string{"WWW-Authenticate: Bearer"}}, status: 401, header: "WWW-Authenticate", text: "bad token: sign it\n"},
		"unavailable": {err: errors.New("secrets of ours"), status: 503, header: "Retry-After", text: "try again"},
		"no name":     {id: Identity{Client: "a\nb"}, status: 403, text: "bad client"},
	} {
		c := n.knock(d, "")
		d.answer(t, row.id, row.err)
		r := c.response()
		body, _ := io.ReadAll(r.Body)
		if r.StatusCode != row.status || !strings.Contains(string(body), row.text) || row.header != "" && r.Header.Get(row.header) == "" {
			t.Errorf("%s: %d %v %q", name, r.StatusCode, r.Header, body)
		}
		if strings.Contains(string(body), "secrets") {
			t.Errorf("%s: the client is told %q", name, body)
		}
	}
	n.wantCount(n.counts.connects, resultBadClient, 2)
	n.wantCount(n.counts.connects, resultUnavailable, 1)
	eventually(t, "no slot and no session is left", func() bool { return n.table.size() == 0 && len(n.handshakes.slots) <= 1 })
}

// The authenticator is asked no more for a client that has gone.
func TestAuthenticationEndsWithItsClient(t *testing.T) {
	n, d := startDesk(t, nil)
	c := n.knock(d, "")
	c.conn.Close()
	if err := receiveOf(t, d.canceled, "the authentication ends"); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	eventually(t, "it is counted", func() bool { return testutil.ToFloat64(n.counts.connects[resultGone]) == 1 })
	eventually(t, "its slot is free", func() bool { return len(n.handshakes.slots) <= 1 })
	if n.table.size() != 0 {
		t.Error("it has a session")
	}
}

// A client keeps its slot while the authenticator, which does not heed that it has gone,
// is asked about it, and the answer means nothing.
func TestAnswerForAClientThatHasGone(t *testing.T) {
	d := newDesk()
	heedless := make(chan struct{})
	n := start(t, func(o *Options, _ *localExchange) { o.Authenticator = heedlessDesk{d, heedless} })
	c := n.knock(d, "")
	c.conn.Close()
	receiveOf(t, d.canceled, "it is noticed")
	eventually(t, "its slot and the next one are taken", func() bool { return len(n.handshakes.slots) == 2 })
	close(heedless)
	eventually(t, "its slot is free", func() bool { return len(n.handshakes.slots) <= 1 })
	eventually(t, "it is counted once", func() bool { return testutil.ToFloat64(n.counts.connects[resultGone]) == 1 })
	if n.table.size() != 0 || n.x.members("late") != 0 {
		t.Errorf("%d sessions, %d joined", n.table.size(), n.x.members("late"))
	}
}

// heedlessDesk answers when it likes, but not before its client goes.
type heedlessDesk struct {
	*desk
	answer <-chan struct{}
}

func (d heedlessDesk) Authenticate(ctx context.Context, h *Handshake) (Identity, error) {
	d.asked <- h.clone()
	<-ctx.Done()
	d.canceled <- ctx.Err()
	<-d.answer
	return Identity{Client: "late"}, nil
}

func TestHandshakeDeadlineHoldsForTheAuthenticator(t *testing.T) {
	n, d := startDesk(t, func(o *Options, _ *localExchange) { o.HandshakeTimeout = 500 * time.Millisecond })
	r := &http.Response{StatusCode: http.StatusRequestTimeout}
	for r.StatusCode == http.StatusRequestTimeout { // the machine stood still before the head was read
		conn := dial(t, n.Addr())
		io.WriteString(conn, upgradeHead("/ws"))
		r = (&client{t, conn, bufio.NewReader(conn), "slow"}).response()
	}
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("answer: %v", r)
	}
	if err := receiveOf(t, d.canceled, "the authentication ends"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ends with %v", err)
	}
}

func TestAuthenticationsAreBounded(t *testing.T) {
	const bound, clients = 2, 7
	n, d := startDesk(t, func(o *Options, _ *localExchange) { o.MaxAuthentications = bound })
	var all []*client
	for range clients {
		conn := dial(t, n.Addr())
		io.WriteString(conn, upgradeHead("/ws"))
		all = append(all, &client{t, conn, bufio.NewReader(conn), "one of many"})
	}
	connect(t, n.Addr(), "fast") // for whom nobody has to make room
	for range clients {
		receiveOf(t, d.asked, "the authenticator is asked")
		d.answer(t, Identity{Client: "many"}, nil)
	}
	for _, c := range all {
		c.response()
		c.want(0x1, `{"type":"welcome","client":"many"`)
	}
	if most := d.most.Load(); most > bound {
		t.Errorf("%d authentications were under way, allowed are %d", most, bound)
	}
}

func TestNodeStopsWhileItAuthenticates(t *testing.T) {
	n, d := startDesk(t, nil)
	c := n.knock(d, "")
	stop(t, n.Node)
	if r := c.response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("answer: %v", r)
	}
	receiveOf(t, d.canceled, "the authentication ends")
	if n.table.size() != 0 {
		t.Error("a session is left")
	}
}

// only permits one address.
type only string

func (o only) MaySend(_, address string) bool { return address == string(o) }

func TestPermissionsAreAskedForEachMessage(t *testing.T) {
	n, d := startDesk(t, nil)
	c := n.knock(d, "")
	d.answer(t, Identity{Client: "alice", Permissions: only("alice")}, nil)
	c.response()
	c.want(0x1, `{"type":"welcome"`)
	c.name = "alice"
	c.send("bob", "1", "1")
	c.want(0x1, `{"type":"receipt","id":1,"outcome":"rejected","reason":"forbidden: `)
	c.send("bob", "2", "")
	c.wantError(codeForbidden)
	c.send("alice", "3", "3")
	c.wantMessage("alice", "3")
	c.wantReceipt("3", "delivered")
}

func TestSessionEndsWithItsIdentity(t *testing.T) {
	n, d := startDesk(t, func(o *Options, _ *localExchange) { o.PingInterval = 200 * time.Millisecond })
	c := n.knock(d, "")
	d.answer(t, Identity{Client: "alice", Expires: time.Now().Add(100 * time.Millisecond)}, nil)
	c.response()
	c.want(0x1, `{"type":"welcome"`)
	c.want(0x1, `{"type":"bye","reason":"expired","retry":true}`)
	c.wantClose(codeExpired)
	for _, id := range []Identity{{Client: "a"}, {Client: "a", Expires: time.Now().Add(time.Hour)}} {
		if newSession(n.Node, plain{}, &id).hasExpired(time.Now()) {
			t.Errorf("%v has expired", id)
		}
	}
}
