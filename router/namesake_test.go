package router

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// A node does not start at a URL where another live node answers, also if it does so
// only by turns, as behind a name with two addresses or a load balancer.
func TestNodeRefusesTheURLOfAnother(t *testing.T) {
	s := redistest.Start(t)
	var asked atomic.Int32
	var byTurns atomic.Bool
	where := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		id := "n0"
		if byTurns.Load() && asked.Add(1)%2 == 1 {
			id = "n1" // who asks
		}
		fmt.Fprintf(w, `{"node":%q}`, id)
	}))
	defer where.Close()
	startNode(t, "n0", s.Client(t), s.Prefix, calmHeartbeat, func(o *Options) { o.URL = where.URL })
	wantRefused := func(what, url string) {
		err := tryToStart(t, s, "n1", url)
		taken, ok := errors.AsType[*NamesakeError](err)
		if !ok || taken.Node != "n0" || !strings.Contains(err.Error(), "BEELINE_ADVERTISE") {
			t.Errorf("%s: %v, want that n0 answers there", what, err)
		}
	}
	wantRefused("the same URL", where.URL)
	wantRefused("with a path", where.URL+"/")
	byTurns.Store(true)
	wantRefused("by turns", where.URL)
}

// plantLease lists a node that has a lease with that URL.
func plantLease(t *testing.T, s *redistest.Server, id, url string) {
	t.Helper()
	c := s.Client(t)
	reg, err := registry.New(registry.Options{Redis: c, NodeID: "planter", Prefix: s.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		c.HSet(t.Context(), reg.Keys().Node(id), "url", url, "version", "1", "started", 1, "sessions", 0, "draining", 0).Err(),
		c.ZAdd(t.Context(), reg.Keys().Nodes(), redis.Z{Score: float64(time.Now().UnixMilli()), Member: id}).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tryToStart starts a router that is not accepted by its node yet, and stops it.
func tryToStart(t *testing.T, s *redistest.Server, name, url string) error {
	t.Helper()
	client := s.Client(t)
	reg, err := registry.New(registry.Options{Redis: client, NodeID: name, Prefix: s.Prefix, Heartbeat: calmHeartbeat})
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{NodeID: name, URL: url, Redis: client, Registry: reg, Metrics: metrics.New(prometheus.NewRegistry()).Router})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = r.Start(ctx)
	if stopped := r.Stop(ctx); stopped != nil {
		t.Errorf("stop: %v", stopped)
	}
	return err
}

// A node that starts again after it was killed finds its own earlier lease, and nobody
// at its URL but itself.
func TestNodeStartsAgainAtItsOwnURL(t *testing.T) {
	s := redistest.Start(t)
	where := httptest.NewUnstartedServer(nil) // it listens and does not accept
	defer where.Close()
	url := "http://" + where.Listener.Addr().String()
	plantLease(t, s, "killed", url)
	if err := tryToStart(t, s, "n1", url); err != nil {
		t.Errorf("start: %v", err)
	}
}

// Of nodes that started together none could answer the other, and a load balancer's
// address is in nobody's lease: they find out soon, and welcome nobody until it is mended.
func TestNodeWhoseURLLeadsToAnotherWelcomesNobody(t *testing.T) {
	s := redistest.Start(t)
	var mended atomic.Bool
	where := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		id := "n2"
		if mended.Load() {
			id = "n1"
		}
		fmt.Fprintf(w, `{"node":%q}`, id)
	}))
	defer where.Close()
	n := startNode(t, "n1", s.Client(t), s.Prefix, shortHeartbeat, func(o *Options) { o.URL = where.URL })
	until(t, "n1 refuses newcomers", func() bool {
		err := n.unready()
		return err != nil && strings.Contains(err.Error(), `"n2"`)
	})
	if _, err := n.tryConnect("bob"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a newcomer: %v, want that it is refused", err)
	}
	mended.Store(true)
	until(t, "n1 is ready again", func() bool { return n.unready() == nil })
	n.connect("bob")
}
