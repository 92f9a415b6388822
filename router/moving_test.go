package router

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// moving is a cluster on a Redis whose name moves to another server, while the
// connections to the earlier one stay open.
type moving struct {
	*cluster
	name     *redistest.Name
	from, to *redistest.Server
	waiting  []*testSession // clients that are connected all the time
}

// newMoving starts a cluster whose Redis has a replica to move to. connect makes a
// node's client; by default Connector does, which looks now and then where the name
// leads.
func newMoving(t *testing.T, connect func(testing.TB, *redistest.Name) redis.UniversalClient) *moving {
	t.Helper()
	m := &moving{from: redistest.StartOwn(t)}
	m.to = redistest.StartReplica(t, m.from)
	m.name = redistest.StartName(t, m.from, m.to)
	m.cluster = clusterOn(t, shortHeartbeat, nil, m.from.Prefix, func() redis.UniversalClient { return connect(t, m.name) }, 3, nil)
	for i, n := range m.nodes {
		m.waiting = append(m.waiting, n.connect("early"+strconv.Itoa(i)))
	}
	return m
}

func byConnector(t testing.TB, name *redistest.Name) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.Connector{Resolver: name}.Connect(name.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// byDialing returns a client that follows the name only where it dials anew.
func byDialing(t testing.TB, name *redistest.Name) redis.UniversalClient {
	client := redis.NewClient(&redis.Options{Addr: name.URL(), ContextTimeoutEnabled: true, DisableIdentity: true,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ips, err := name.LookupNetIP(ctx, "ip", name.Host)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(ips[0].String(), strconv.Itoa(int(name.Port))))
		}})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// swap makes the replica the master and the master its replica.
func (m *moving) swap() {
	m.t.Helper()
	m.to.Promote()
	m.from.Demote(m.to)
}

// wantMoved waits until nobody talks with the earlier server any more, and asserts that
// the cluster then serves: those who were connected, and newcomers.
func (m *moving) wantMoved() {
	m.t.Helper()
	until(m.t, "all connections have moved", func() bool { return m.name.Proxy(m.from).Open() == 0 })
	for _, n := range m.nodes {
		n.heals()
	}
	for i, n := range m.nodes {
		next := m.nodes[(i+1)%len(m.nodes)]
		bob := "late" + strconv.Itoa(i)
		next.connectWhereMasterIs(bob)
		n.wantOutcome(bob, "hello", Delivered)
		early := m.waiting[(i+1)%len(m.nodes)]
		n.wantOutcome(early.client, "still there", Delivered)
	}
}

// connectWhereMasterIs connects a client, which is refused for a moment if a new connection
// of the node has been led to a replica.
func (n *testNode) connectWhereMasterIs(client string) {
	n.t.Helper()
	until(n.t, client+" is welcomed", func() bool {
		_, err := n.tryConnect(client)
		if err != nil && !stoodStill(err) && !strings.Contains(err.Error(), "READONLY") {
			n.t.Fatal(err)
		}
		return err == nil
	})
}

func TestEverythingFollowsTheNameToTheNewMaster(t *testing.T) {
	m := newMoving(t, byConnector)
	m.swap()
	m.name.LeadTo(m.to)
	m.wantMoved()
}

// The old master refuses nothing, and all connections agree that it is the right one.
func TestEverythingLeavesAMasterThatTheNameHasLeft(t *testing.T) {
	m := newMoving(t, byConnector)
	m.to.Promote()
	m.name.LeadTo(m.to)
	m.wantMoved()
}

// The subscription has moved and the pool has not; the old master refuses nothing.
func TestProbeThatIsNotHeardMovesEveryConnection(t *testing.T) {
	m := newMoving(t, byDialing)
	m.to.Promote()
	m.name.LeadTo(m.to)
	for _, n := range m.nodes {
		n.in.sub.Reset()
	}
	m.wantMoved()
}

// One name with two addresses, the first of them that of a replica.
func TestMasterIsFoundBehindAReplicaOfTheSameName(t *testing.T) {
	m := newMoving(t, byConnector)
	m.name.LeadTo(m.from, m.to)
	m.swap()
	m.wantMoved()
}
