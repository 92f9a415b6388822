package node

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

func TestReadyzNamesEveryCause(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxSessions = 1 })
	readyz := "http://" + n.AdminAddr() + "/readyz"
	wantGet(t, readyz, http.StatusOK, "ready")
	n.x.mu.Lock()
	n.x.hindrances = []router.Hindrance{{Cause: router.CauseUnsettled, Err: errors.New("data was lost")}}
	n.x.mu.Unlock()
	connect(t, n.Addr(), "only")
	wantGet(t, readyz, http.StatusServiceUnavailable, "full: node is full: it holds 1 sessions, and no more are allowed\nunsettled: data was lost\n")
	wantGet(t, "http://"+n.AdminAddr()+"/metrics", http.StatusOK, `beeline_unready{cause="full"} 1`)
	wantGet(t, "http://"+n.AdminAddr()+"/metrics", http.StatusOK, `beeline_unready{cause="draining"} 0`)
	if got := testutil.ToFloat64(n.metrics.Node.Ready); got != 0 {
		t.Errorf("beeline_ready is %v, want 0", got)
	}
	if names := causeNames(); testutil.CollectAndCount(n.metrics.Node.Unready) != len(names) {
		t.Errorf("not each of %q has a series", names)
	}
}

func TestNodeThatHasNoRoomIsNotReady(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxSessions = 1 })
	readyz := "http://" + n.AdminAddr() + "/readyz"
	first := connect(t, n.Addr(), "first")
	wantGet(t, readyz, http.StatusServiceUnavailable, "full: ")
	if answer := tryToConnect(t, n.Node, "second"); !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		t.Errorf("the second is answered %q", answer)
	}
	first.conn.Close()
	eventually(t, "it is ready again", func() bool { return len(n.unready()) == 0 })
	connect(t, n.Addr(), "second")
}

func TestNodeWithoutDescriptorsIsNotReady(t *testing.T) {
	n := start(t, nil)
	eventually(t, "it is not ready soon after it could not accept", func() bool {
		if !n.handshakes.acquire(func() {}) || !n.acceptFailed(syscall.EMFILE) {
			t.Fatal("the node gives up")
		}
		found := n.unready()
		return len(found) == 1 && found[0].Cause == causeDescriptors
	})
	connect(t, n.Addr(), "newcomer")
	wantGet(t, "http://"+n.AdminAddr()+"/readyz", http.StatusOK, "ready")
}
