package simulation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router"
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/ledger"
)

// cluster is the nodes, their Redis and their clients.
type cluster struct {
	world  *world
	plan   Plan
	keys   registry.Keys
	ledger *ledger.Ledger
	log    *slog.Logger
	m      *metrics.Metrics

	servers []*server
	master  *server
	moves   map[string]time.Duration // until when channels' slots are on their way
	moving  time.Duration            // until when addresses' slots are
	moved0  time.Duration            // when slots moved last; -1: never

	places        []*place
	hosts         []*host // the processes that live
	lines         []*line
	sessions      int
	delivered     int  // messages that sessions were given
	lost, doubled int  // batches, by the bus
	quiet         bool // clients send and move no more
	events        []ledger.Event
}

// place is where a node runs: its processes follow each other there.
type place struct {
	number int
	name   string
	url    string
	host   *host // nil: none
	starts int
	link   linkState
	clock  time.Duration
	// troubled is when its link to Redis was last not open.
	troubled time.Duration
}

func newCluster(p Plan, m *metrics.Metrics, trace io.Writer) *cluster {
	w := newWorld(p.Seed)
	w.log = trace
	c := &cluster{
		world: w, plan: p, keys: registry.NewKeys("sim", nil), ledger: ledger.New(fmt.Sprint(p.Seed)), m: m,
		log: slog.New(slog.DiscardHandler), moves: make(map[string]time.Duration), moved0: -1,
	}
	if trace != nil {
		c.log = slog.New(slog.NewTextHandler(trace, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime}))
	}
	c.servers = []*server{c.newServer("redis1")}
	c.master = c.servers[0]
	if p.Replica {
		c.servers = append(c.servers, c.newServer("redis2"))
		c.replicate(c.servers[1])
	}
	for i := range p.Nodes {
		c.places = append(c.places, &place{number: i, name: fmt.Sprintf("n%d", i+1), url: fmt.Sprintf("http://10.0.0.%d:8080", i+1)})
	}
	for i := range p.Clients {
		l := &line{
			cluster: c, client: fmt.Sprintf("c%d", i%p.Names+1), number: i, avoid: -1,
			chance: rand.New(rand.NewPCG(p.Seed, uint64(i))), named: make(map[*ledger.Message]bool),
		}
		c.lines = append(c.lines, l)
	}
	return c
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func (c *cluster) newServer(name string) *server {
	s := &server{world: c.world, name: name, subs: make(map[string][]*conn)}
	s.lag = func() time.Duration { return time.Duration(c.world.chance.Int64N(int64(2 * time.Millisecond))) }
	s.boot(newDataset())
	return s
}

// replicate makes a server that is up a replica of the master.
func (c *cluster) replicate(s *server) {
	s.primary, s.data, s.began = c.master, c.master.data.clone(), c.world.now
	c.master.replicas = append(c.master.replicas, s)
}

// moved reports whether a channel's slot is on its way to another master.
func (c *cluster) moved(_ *server, channel string) bool { return c.moves[channel] > c.world.now }

// migrating reports whether the slots of addresses are.
func (c *cluster) migrating(string) bool { return c.moving > c.world.now }

// slotsMoved reports whether slots of addresses have moved within d.
func (c *cluster) slotsMoved(d time.Duration) bool {
	return c.moved0 >= 0 && c.world.now-c.moved0 < d
}

// start starts the process of a place.
func (c *cluster) start(p *place) {
	p.starts++
	h := &host{world: c.world, cluster: c, place: p, id: fmt.Sprintf("%s-%d", p.name, p.starts), link: p.link, clock: p.clock}
	h.runtime = hostRuntime{h}
	h.ctx, h.cancel = h.runtime.WithCancel(context.Background())
	h.loop = newLoop(h)
	h.reg = newRegistry(h)
	p.host = h
	c.hosts = append(c.hosts, h)
	o := router.Options{
		NodeID: h.id, URL: p.url, Version: "simulated", Registry: h.reg, Prober: prober{h}, Runtime: h.runtime,
		Bus: func(source bus.Source) (bus.Bus, error) {
			h.bus = newBus(h, source)
			return h.bus, nil
		},
		Duplicates: c.plan.Duplicates, MessageTimeout: c.plan.Deadline, Grace: c.plan.Grace, OwnerCache: c.plan.OwnerCache,
		Metrics: c.m.Router, Logger: c.log.With("node", h.id),
	}
	if c.plan.Keyed {
		key := sha256.Sum256([]byte(c.keys.Nodes()))
		o.ClusterKeys = []router.ClusterKey{key[:]}
	}
	r, err := router.New(o)
	if err != nil {
		panic(err) // the plan is wrong
	}
	h.router = r
	c.world.record("%s starts", h.id)
	h.start(func() {
		if err := r.Start(h.ctx); err != nil {
			c.world.record("%s could not start: %v", h.id, err)
			c.end(h)
			return
		}
		h.serving = true
		c.world.record("%s serves", h.id)
		h.start(h.loop.run)
	})
}

// end forgets a process that has ended.
func (c *cluster) end(h *host) {
	h.serving = false
	c.hosts = slices.DeleteFunc(c.hosts, func(x *host) bool { return x == h })
	if h.place.host == h {
		h.place.host = nil
	}
}

// kill ends the process of a place, as SIGKILL does.
func (c *cluster) kill(p *place) {
	h := p.host
	if h == nil {
		return
	}
	h.kill()
	c.end(h)
	for _, s := range h.sessions {
		c.world.after(s.line.latency(), func() { s.line.dropped(s, ledger.ByNode, "connection reset by peer") })
	}
}

// drain ends the process of a place as SIGTERM does.
func (c *cluster) drain(p *place, ended func()) {
	h := p.host
	if h == nil || !h.serving {
		return
	}
	h.draining = true
	h.start(func() {
		ctx, cancel := h.runtime.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = h.router.SetDraining(ctx)
		h.closed = true
		for _, s := range h.sessions {
			if s.closing {
				continue
			}
			s.leave()
			s.down(func() { s.line.dropped(s, ledger.ByClient, "its node drains") })
		}
		_ = h.router.Stop(ctx)
		c.world.record("%s has stopped", h.id)
		h.cancel()
		c.world.after(0, func() {
			h.kill()
			c.end(h)
			ended()
		})
	})
}

// receiver chooses to whom a line sends: mostly the same few.
func (c *cluster) receiver(l *line) string {
	n := c.plan.Names
	if l.chance.IntN(3) > 0 {
		n = min(n, 3)
	}
	return fmt.Sprintf("c%d", (l.number+1+l.chance.IntN(n))%c.plan.Names+1)
}

// prober asks who is at a node's address.
type prober struct{ host *host }

var errNoAnswer = errors.New("no answer")

func (p prober) NodeAt(ctx context.Context, url string) (string, error) {
	h := p.host
	if err := h.runtime.Sleep(ctx, 2*h.latency()); err != nil {
		return "", err
	}
	for _, place := range h.cluster.places {
		if place.url != url {
			continue
		}
		for place.host != nil && (place.host.frozen || !place.host.serving && !place.host.closed) {
			if place.host != nil && !place.host.frozen && !place.host.serving {
				return "", router.ErrRefused
			}
			if err := h.runtime.Sleep(ctx, 10*time.Millisecond); err != nil {
				return "", errNoAnswer
			}
		}
		if place.host == nil || place.host.closed {
			return "", router.ErrRefused
		}
		return place.host.id, nil
	}
	return "", errNoAnswer
}

func (p prober) NodesAt(ctx context.Context, url string) []string {
	if node, err := p.NodeAt(ctx, url); err == nil {
		return []string{node}
	}
	return nil
}

func (prober) Close() {}
