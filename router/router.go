package router

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry"
)

// Delivery is the way a message takes to its owners.
type Delivery string

// The deliveries. The last two exist to be compared with.
const (
	Targeted  Delivery = "targeted"  // look the owners up, publish to their private channels
	Broadcast Delivery = "broadcast" // publish to one shared channel, every node filters
	Subscribe Delivery = "subscribe" // a Redis subscription for each local address
)

// Options configures a Router.
type Options struct {
	NodeID          string
	URL             string // how other nodes reach this one: http://host:port
	Version         string
	Redis           redis.UniversalClient
	Registry        *registry.Registry // started and stopped by the router
	Delivery        Delivery           // default Targeted
	Duplicates      registry.Duplicates
	MessageTimeout  time.Duration // a message's deadline; default 5 s
	MaxPendingBytes int           // payload bytes without outcome; default 64 MiB
	Metrics         *metrics.Router
	Logger          *slog.Logger
}

// Router takes messages from this node's sessions to their receivers' nodes,
// and hands what arrives for this node to its sessions.
type Router struct{ opts Options }

// New checks opts and returns a router that is deaf until Start.
func New(opts Options) (*Router, error) { panic("stub") }

// Start subscribes the private channel, writes the node's lease and begins the
// heartbeat. It returns once the node may claim.
func (r *Router) Start(ctx context.Context) error { panic("stub") }

// SetDraining tells the other nodes that this one is going: a refused
// connection no longer proves that it is dead.
func (r *Router) SetDraining(ctx context.Context) error { panic("stub") }

// Stop releases what is still held, answers what still waits with Timeout, and
// ends the router's goroutines, in the time that ctx allows. Sessions should
// have left before.
func (r *Router) Stop(ctx context.Context) error { panic("stub") }

// Health says why this node should not get new clients, or returns nil: its
// private channel is deaf, Redis is away, or it is draining.
func (r *Router) Health() error { panic("stub") }

// Join adds a session to address. The first session of an address claims it,
// and every earlier owner knows of the claim before Join returns nil; only then
// may the client be welcomed, though messages may be delivered before. An error
// is ErrDuplicate, or wraps ErrUnavailable.
func (r *Router) Join(ctx context.Context, address string, s Session) error { panic("stub") }

// Leave removes a session that joined; the last one releases the address.
func (r *Router) Leave(address string, s Session) { panic("stub") }

// Send takes m to the sessions of m.To. It does not block and keeps nothing of
// m. Messages that one goroutine sends to one address arrive in that order.
// done, if not nil, is called exactly once with the message's ID and outcome,
// from a goroutine of the router or before Send returns, and must not block.
func (r *Router) Send(m Message, done func(MessageID, Outcome)) { panic("stub") }
