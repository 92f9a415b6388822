package redisconn

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// onName returns a client whose Redis is behind a name, with connections of each kind
// open. It does not watch where the name leads.
func onName(t *testing.T, name *redistest.Name) *Client {
	t.Helper()
	client, err := Connector{Resolver: name}.Connect(patient(name.URL()))
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	c := newTestClient(client)
	must(t, c.write(t.Context()))
	must(t, client.Ping(t.Context()).Err())
	subscription := client.Subscribe(t.Context(), "channel")
	t.Cleanup(func() { _ = subscription.Close() })
	_, err = subscription.Receive(t.Context())
	must(t, err)
	publishes, err := c.Dial(t.Context(), "")
	must(t, err)
	publishes.Detach()
	t.Cleanup(func() { _ = publishes.Close() })
	return c.Client
}

// startMoving starts a master and its replica behind a name that leads to the former.
func startMoving(t *testing.T) (from, to *redistest.Server, name *redistest.Name) {
	t.Helper()
	from = redistest.StartOwn(t)
	to = redistest.StartReplica(t, from)
	return from, to, redistest.StartName(t, from, to)
}

// wantLeft waits until no connection leads to a server.
func wantLeft(t *testing.T, name *redistest.Name, s *redistest.Server) {
	t.Helper()
	proxy := name.Proxy(s)
	eventually(t, func() bool { return proxy.Open() == 0 }, func() string { return "connections stay at the earlier server" })
}

// One command finds out, and go-redis hides it by making it again elsewhere.
func TestReadonlyAnswerClosesEveryConnection(t *testing.T) {
	t.Parallel()
	from, to, name := startMoving(t)
	c := onName(t, name)
	if n := name.Proxy(from).Open(); n < 4 {
		t.Fatalf("%d connections are open, want one of each kind", n)
	}
	to.Promote()
	from.Demote(to)
	name.LeadTo(to)
	must(t, c.write(t.Context()))
	wantLeft(t, name, from)
}

// A master that lost its own master, and serves nothing, is left, too.
func TestReplicaWithoutItsMasterIsLeft(t *testing.T) {
	t.Parallel()
	from, to, name := startMoving(t)
	must(t, from.Client(t).ConfigSet(t.Context(), "replica-serve-stale-data", "no").Err())
	c := onName(t, name)
	to.Promote()
	must(t, from.Client(t).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
	name.LeadTo(to)
	eventually(t, func() bool { return c.write(t.Context()) == nil }, func() string { return "no script that writes succeeds" })
	wantLeft(t, name, from)
}

// The pool has connections to both servers, and neither knows the script.
func TestScriptsAreLoadedWhereTheyAreCalled(t *testing.T) {
	t.Parallel()
	from, to, name := startMoving(t)
	to.Promote()
	c := onName(t, name)
	for _, s := range []*redistest.Server{from, to} {
		must(t, s.Client(t).ScriptFlush(t.Context()).Err())
	}
	// The pool holds its only connection, so what needs one more gets it elsewhere.
	conn := c.rdb.(*redis.Client).Conn()
	defer func() { _ = conn.Close() }()
	must(t, conn.Ping(t.Context()).Err())
	name.LeadTo(to)
	must(t, c.write(t.Context()))
}

// A name that leads to a server by turns does not cost the connections each time.
func TestOneOddAnswerOfTheNameServerMovesNothing(t *testing.T) {
	t.Parallel()
	from, to, name := startMoving(t)
	c := onName(t, name)
	w := &placeWatch{c: c, delay: watchEvery, clients: make(map[string]*redis.Client)}
	name.LeadTo(to)
	strays := w.strays(t.Context())
	if len(strays) < 4 {
		t.Errorf("%d connections are found to lead elsewhere, want all", len(strays))
	}
	name.LeadTo(from, to)
	if strays := w.strays(t.Context()); len(strays) != 0 {
		t.Errorf("%d connections are found to lead elsewhere, want none", len(strays))
	}
	name.LeadTo() // the name server knows nothing any more
	if strays := w.strays(t.Context()); len(strays) != 0 {
		t.Errorf("without an answer %d connections are found to lead elsewhere", len(strays))
	}
	if err := c.rdb.Ping(t.Context()).Err(); err != nil {
		t.Errorf("what was resolved before no longer counts: %v", err)
	}
}

// While the name server is away, a lost connection is made anew where the last was.
func TestRedisIsFoundWhileTheNameServerIsAway(t *testing.T) {
	t.Parallel()
	_, _, name := startMoving(t)
	c := onName(t, name)
	name.LeadTo()
	c.redial("", time.Now(), "test")
	must(t, c.write(t.Context()))
}

func TestErrorBlamesTheAddressThatFailed(t *testing.T) {
	t.Parallel()
	from, _, name := startMoving(t)
	from.Kill()
	for _, p := range []*redistest.Proxy{name.Proxy(from)} {
		p.Close()
	}
	client, err := Connector{Resolver: name}.Connect(patient(name.URL()))
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	err = client.Ping(t.Context()).Err()
	if err == nil || !strings.Contains(err.Error(), name.Host) || !strings.Contains(err.Error(), "127.0.0.2") {
		t.Errorf("error: %v, want one with the name and the address", err)
	}
}
