package node

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

func randomKey() router.ClusterKey {
	key := make(router.ClusterKey, 32)
	rand.Read(key)
	return key
}

// As docs/operations.md has it: three rounds, node by node, and no node is unready for
// what the others have already, or not yet.
func TestClusterKeyIsChangedNodeByNodeWhileAllAreReady(t *testing.T) {
	redis := redistest.Start(t)
	older, newer := randomKey(), randomKey()
	begin := func(name string, keys ...router.ClusterKey) *Node {
		return startWhole(t, redis, name, func(o *Options) { o.ClusterKeys = keys })
	}
	nodes := []*Node{begin("a0", older), begin("b0", older)}
	for round, keys := range [][]router.ClusterKey{{older, newer}, {newer, older}, {newer}} {
		for i, name := range []string{"a", "b"} {
			stop(t, nodes[i])
			nodes[i] = begin(fmt.Sprint(name, round+1), keys...)
			for _, n := range nodes {
				wantGet(t, "http://"+n.AdminAddr()+"/readyz", http.StatusOK, "ready")
			}
			from, to := fmt.Sprintf("from-%d-%d", round, i), fmt.Sprintf("to-%d-%d", round, i)
			alice, bob := connect(t, nodes[0].Addr(), from), connect(t, nodes[1].Addr(), to)
			alice.send(to, "1", "1")
			bob.wantMessage(from, "1")
			alice.wantReceipt("1", "delivered")
			alice.conn.Close()
			bob.conn.Close()
		}
	}
}

// A node that differs says so in its log, on /readyz and in a series, and takes over by
// itself when those that were there before have gone.
func TestNodeWithAnotherDeliveryWaitsUntilTheOldOnesHaveGone(t *testing.T) {
	redis := redistest.Start(t)
	const heartbeat = 5 * time.Second // a lease outlives a machine's standstill
	old := startWhole(t, redis, "old", func(o *Options) { o.Heartbeat = heartbeat })
	var log lockedBuffer
	n := startWhole(t, redis, "new", func(o *Options) {
		o.Heartbeat, o.Delivery, o.Logger = heartbeat, router.Broadcast, slog.New(slog.NewTextHandler(&log, nil))
	})
	admin := "http://" + n.AdminAddr()
	wantGet(t, admin+"/readyz", http.StatusServiceUnavailable,
		fmt.Sprintf(`settings_differ: BEELINE_DELIVERY is "broadcast" here and "targeted" on node %q`, old.ID()))
	wantGet(t, admin+"/metrics", http.StatusOK, `beeline_unready{cause="settings_differ"} 1`)
	for _, said := range []string{"welcomes nobody", "BEELINE_DELIVERY", "broadcast", "targeted", old.ID()} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say %q: %s", said, log.String())
		}
	}
	if answer := tryToConnect(t, n, "newcomer"); !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		t.Errorf("a newcomer is answered %q", answer)
	}
	wantGet(t, "http://"+old.AdminAddr()+"/readyz", http.StatusOK, "ready")
	connect(t, old.Addr(), "resident")
	stop(t, old)
	eventually(t, "it is ready", func() bool { return len(n.unready()) == 0 })
	connect(t, n.Addr(), "newcomer")
}
