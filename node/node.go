package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry/directory"
)

// Node is a whole beeline node: a router, the listeners and the sessions.
type Node struct {
	// Static after New.
	opts     Options
	id       string
	log      *slog.Logger
	born     time.Time // where the clock begins
	metrics  *metrics.Metrics
	counts   *counts
	paths    map[string]*endpoint
	capacity capacity
	// compose makes the router once the node's URL is known.
	compose   func(url string) (exchange, error)
	newEngine func(*Node) engine
	pools

	// Static after Start.
	router exchange
	engine engine
	client net.Listener
	admin  net.Listener
	url    string // by which other nodes reach client
	// directory is who is connected where.
	directory *directory.Directory

	// Shared, each with its own lock.
	table         table
	handshakes    handshakes
	lingers       lingers
	pages, admins *visitors // of plain HTTP on the two listeners
	graces        graces
	// authentications has an element for each that is under way and takes time.
	authentications chan struct{}
	authErrors      repeated // logged at times
	losses          losses
	acceptErrors    repeated     // logged at times
	leaving         group        // goroutines and questions of sessions: leaves, joins, losses
	queued          atomic.Int64 // bytes in all sessions' queues
	ending          atomic.Int64 // bytes of them in the queues of sessions that are closing
	backlogs        backlogs
	incoming        incoming
	openings        openings
	draining        atomic.Bool
	ready           atomic.Bool
	// acceptFailedAt is when a connection could not be accepted last, in ns after born;
	// 0: one could be since.
	acceptFailedAt atomic.Int64

	// Guarded by mu.
	mu       sync.Mutex
	started  bool
	cleanups cleanups

	reporter   reporter
	sessionLog *sessionLog
}

// New checks opts and returns a node that does nothing until Start.
func New(opts Options) (*Node, error) {
	opts.setDefaults()
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("node's options: %w", err)
	}
	fits, err := newCapacity(&opts, opts.openFiles())
	if err != nil {
		return nil, err
	}
	m := metrics.New(opts.Registerer)
	n := &Node{
		opts:     opts,
		id:       opts.Name + "-" + randomHex(4),
		born:     time.Now(),
		metrics:  m,
		counts:   newCounts(m.Node),
		paths:    map[string]*endpoint{"/ws": {&plainTraits, func() protocol { return plain{} }}},
		capacity: fits,
		table:    table{limit: fits.sessions},
		pages:    newVisitors(fits.http),
		admins:   newVisitors(maxAdmin),
		incoming: newIncoming(max(opts.MaxQueueTotal/4, 4*opts.MaxMessage)),
		openings: newOpenings(),
		lingers:  lingers{limit: int32(fits.lingers)},
		pools:    newPools(&opts),

		authentications: make(chan struct{}, opts.MaxAuthentications),
	}
	n.log = opts.Logger.With("node", n.id)
	n.reporter.node, n.sessionLog = n, newSessionLog(n.log)
	n.showBounds()
	n.compose, n.newEngine = n.newRouter, bestEngine
	n.handshakes.init(fits.handshakes)
	return n, nil
}

// ID returns the nodeID, unique for each New.
func (n *Node) ID() string { return n.id }

// Addr returns the address of the clients' listener, with its real port. It is
// empty before Start.
func (n *Node) Addr() string { return addrOf(n.client) }

// AdminAddr returns the address of the admin listener, with its real port. It
// is empty before Start.
func (n *Node) AdminAddr() string { return addrOf(n.admin) }

func addrOf(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// undoTime bounds the undoing of a start that failed.
const undoTime = 5 * time.Second

// Start opens the listeners, starts the router and accepts clients. It returns
// once they are accepted, or undoes all and returns an error. ctx bounds only
// the start.
func (n *Node) Start(ctx context.Context) error {
	n.log.Info("node starts", "version", n.opts.Version, "redis", n.opts.RedisName, "delivery", n.opts.Delivery,
		"duplicates", n.opts.Duplicates, "prefix", n.opts.Prefix)
	if most := n.capacity.sessions; most < n.opts.MaxSessions {
		n.log.Warn("fewer sessions fit than are allowed: raise the limit of open files", "allowed", n.opts.MaxSessions, "fit", most)
	}
	if err := n.startOnce(ctx); err != nil {
		return err
	}
	n.log.Info("node serves", "clients", n.Addr(), "admin", n.AdminAddr(), "url", n.url)
	return nil
}

func (n *Node) startOnce(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.started {
		return errors.New("node was started before")
	}
	n.started = true
	if err := n.start(ctx); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		return errors.Join(err, n.cleanups.run(undo))
	}
	n.ready.Store(true)
	return nil
}

func (n *Node) start(ctx context.Context) error {
	if err := n.listen(); err != nil {
		return err
	}
	n.startAdmin()
	if err := n.startRouter(ctx); err != nil {
		return err
	}
	n.startLiveness()
	n.startReporter()
	n.cleanups.add("sessions", n.drain)
	n.startAccepting()
	n.cleanups.add("announcements", n.announceDrain)
	return nil
}

// startRouter starts the router, and makes the engine that it delivers to.
func (n *Node) startRouter(ctx context.Context) error {
	n.url = n.opts.Advertise
	if n.url == "" {
		n.url = advertised(n.client.Addr())
	}
	n.warnOfNoKey()
	r, err := n.compose(n.url)
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	n.router = r
	n.engine = n.newEngine(n) // the router calls it
	n.cleanups.add("router", r.Stop)
	n.cleanups.add("engine", n.engine.stop)
	if err := r.Start(ctx); err != nil {
		return fmt.Errorf("start router: %w", err)
	}
	return nil
}

// Stop drains the node: no new clients, every session is told and closed, then
// the router leaves the cluster. It does so within ctx, cutting short what is
// left, and returns the errors of all steps.
func (n *Node) Stop(ctx context.Context) error {
	started := time.Now()
	err := n.stop(ctx)
	took := time.Since(started).Round(time.Millisecond)
	if err != nil {
		n.log.Error("node stopped, but not cleanly", "took", took, "error", err)
		return err
	}
	n.log.Info("node stopped", "took", took)
	return nil
}

func (n *Node) stop(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cleanups.run(ctx)
}
