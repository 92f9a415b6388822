package bench

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

func TestNodeThatIsNotReadyIsAskedAgain(t *testing.T) {
	var asked atomic.Int32
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "Redis is away", http.StatusServiceUnavailable)
			return
		}
		upgrader := ws.HTTPUpgrader{Protocol: func(string) bool { return true }}
		if conn, _, _, err := upgrader.Upgrade(r, w); err == nil {
			conn.Close()
		}
	}))
	defer node.Close()
	conn, _, err := dialReady(t.Context(), "ws"+strings.TrimPrefix(node.URL, "http"), "ann")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestNodeThatRefusesAClientIsNotAskedAgain(t *testing.T) {
	var asked atomic.Int32
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.Error(w, "no such name", http.StatusBadRequest)
	}))
	defer node.Close()
	if _, _, err := dialReady(t.Context(), "ws"+strings.TrimPrefix(node.URL, "http"), "ann"); err == nil || asked.Load() != 1 {
		t.Errorf("asked %d times, error %v", asked.Load(), err)
	}
}
