package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router"
)

// Options configures a Node. The zero value of every field but Redis stands for
// its default.
type Options struct {
	// Name begins the node's ID; up to 128 letters, digits, '.', '_' and '-'. Default: the
	// host's name.
	Name    string
	Version string // shown to other nodes

	// Listen is the clients' address, host:port; default ":8080". Port 0 takes a
	// free one, see Node.Addr.
	Listen string
	// AdminListen is the address of metrics and health; default "127.0.0.1:9090".
	AdminListen string
	// Advertise is the URL by which other nodes reach Listen. Default: derived
	// from the listener.
	Advertise string

	// Redis is shared by the registry and the router, and closed by the caller.
	Redis     redis.UniversalClient
	RedisName string        // how the log calls it, without a password; default: it says "unnamed"
	Prefix    string        // of every key and channel; default "beeline"
	Heartbeat time.Duration // default: the registry's
	// ClusterKeys sign what nodes publish to each other: the first one signs, all of up
	// to two verify. Default: nothing is signed, and Start logs a warning.
	ClusterKeys []router.ClusterKey

	// Authenticator finds out who connects; default None. MaxAuthentications is how many of
	// its answers that take time may be under way; default 256.
	Authenticator      Authenticator
	MaxAuthentications int

	// Delivery is the way of messages to their receivers' nodes; default Targeted. The others
	// know no duplicates but Allow, no Grace, and no ClusterKeys.
	Delivery   router.Delivery
	Duplicates registry.Duplicates // default Allow
	// MessageTimeout is a message's deadline; default 5 s.
	MessageTimeout time.Duration
	// Grace is how long a message waits for a receiver that nobody owns, at most
	// half of MessageTimeout; default 0.
	Grace           time.Duration
	MaxPendingBytes int // payload bytes without outcome on this node; default: the router's
	OwnerCache      int // addresses whose owners are cached; default: the router's; negative: none

	// HandshakeTimeout bounds the time from the accept to the welcome; default 5 s.
	HandshakeTimeout time.Duration
	// MaxHead is the longest HTTP head of a connection, in bytes, 256 to 64 KiB;
	// default 8 KiB.
	MaxHead int
	// MaxHandshakes is the number of connections that may be on their way to the
	// welcome, 2 at least: one place is always kept for the next that is accepted. The
	// others wait to be accepted. Default 8192, or less where the process may open few
	// files.
	MaxHandshakes int
	// MaxHTTP is the number of connections on Listen that speak plain HTTP; for one
	// more, the one that has been idle longest is closed. Default 1000, or less where the
	// process may open few files.
	MaxHTTP int
	// MaxSessions is the number of sessions the node holds. It is never more than the
	// limit of open files leaves beside a reserve; 0, the default, is that.
	MaxSessions int
	// MaxClientSessions is the number of sessions of one client on this node; default
	// 100.
	MaxClientSessions int
	// MaxMessage is the longest message of a client, in bytes of its frames'
	// payloads together; default 64 KiB, at most 1 GiB.
	MaxMessage int
	// MaxQueue bounds what waits to be written to one session, in bytes; default
	// 256 KiB. It is at least MaxMessage and 4 KiB more.
	MaxQueue int
	// MaxQueueTotal bounds the queues of all sessions together, in bytes; default
	// 256 MiB. A quarter of it, but at least four messages of MaxMessage, bounds what is
	// kept of messages that clients have not sent to their ends, and another quarter what
	// sessions hold that are closing.
	MaxQueueTotal int

	// SlowConsumer says what becomes of messages when a session's queue is full;
	// default Disconnect.
	SlowConsumer SlowConsumer

	// PingInterval is the silence after which a session is pinged; default 25 s.
	PingInterval time.Duration
	// PongTimeout is the further silence after which it is closed, and the time
	// a write may take without progress; default 20 s.
	PongTimeout time.Duration
	// DrainPeriod is the time over which Stop spreads the closing of the
	// sessions; default 10 s. A negative one closes all at once.
	DrainPeriod time.Duration

	// Page answers GET / on the clients' listener; default: 404.
	Page http.Handler

	// Registerer takes the node's series and Gatherer is what /metrics shows. One
	// registerer serves one node. Default: a new registry with the Go runtime's
	// and the process' own series.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer

	Logger *slog.Logger // default: discard

	openFiles func() int // how many files the process may open, 0: no limit; tests choose it
}

// queueSlack is what a queue holds beside a message of the greatest size: its
// frame's header, names and other fields.
const queueSlack = 4 << 10

// maxMaxHead bounds what all handshakes together may hold: 512 MiB by default.
const maxMaxHead = 64 << 10

// maxMaxMessage lets 32 bits count a session's bytes without outcome.
const maxMaxMessage = 1 << 30

func (o *Options) setDefaults() {
	setDefault(&o.Listen, ":8080")
	setDefault(&o.Version, "unknown")
	setDefault(&o.RedisName, "unnamed")
	setDefault(&o.AdminListen, "127.0.0.1:9090")
	setDefault(&o.Authenticator, Authenticator(None{}))
	setDefault(&o.MaxAuthentications, 256)
	setDefault(&o.Delivery, router.Targeted)
	setDefault(&o.Duplicates, registry.Allow)
	setDefault(&o.MessageTimeout, 5*time.Second)
	setDefault(&o.HandshakeTimeout, 5*time.Second)
	setDefault(&o.MaxHead, 8<<10)
	setDefault(&o.MaxHandshakes, 8192)
	setDefault(&o.MaxHTTP, 1000)
	setDefault(&o.MaxClientSessions, 100)
	setDefault(&o.MaxMessage, 64<<10)
	setDefault(&o.MaxQueue, max(256<<10, o.MaxMessage+queueSlack))
	setDefault(&o.MaxQueueTotal, 256<<20)
	setDefault(&o.SlowConsumer, Disconnect)
	setDefault(&o.PingInterval, 25*time.Second)
	setDefault(&o.PongTimeout, 20*time.Second)
	setDefault(&o.DrainPeriod, 10*time.Second)
	if o.Name == "" {
		o.Name = hostName()
	}
	if o.openFiles == nil {
		o.openFiles = openFilesLimit
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil && o.Gatherer == nil {
		reg := prometheus.NewRegistry()
		reg.MustRegister(collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		o.Registerer, o.Gatherer = reg, reg
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) check() error {
	var errs []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	require(validName(o.Name), "name %.200q: allowed are up to %d letters, digits, '.', '_' and '-'", o.Name, maxName)
	require(o.Redis != nil, "a Redis client is required")
	errs = append(errs, o.checkDelivery()...)
	require(o.Registerer != nil && o.Gatherer != nil, "a registerer needs its gatherer, and the other way round")
	require(o.MaxAuthentications > 0, "%d concurrent authentications are not positive", o.MaxAuthentications)
	require(o.MessageTimeout > 0, "message timeout %v is not positive", o.MessageTimeout)
	require(o.Grace >= 0 && o.Grace <= o.MessageTimeout/2,
		"grace %v is not between 0 and half of the message timeout, which is %v", o.Grace, o.MessageTimeout)
	require(o.HandshakeTimeout > 0, "handshake timeout %v is not positive", o.HandshakeTimeout)
	require(o.PingInterval > 0, "ping interval %v is not positive", o.PingInterval)
	require(o.PongTimeout > 0, "pong timeout %v is not positive", o.PongTimeout)
	require(o.MaxHead >= 256 && o.MaxHead <= maxMaxHead, "longest head of %d bytes is not between 256 and %d", o.MaxHead, maxMaxHead)
	require(o.MaxHandshakes > 1, "%d concurrent handshakes are below 2", o.MaxHandshakes)
	require(o.MaxHTTP > 0, "%d connections of plain HTTP are not positive", o.MaxHTTP)
	require(o.MaxClientSessions > 0, "%d sessions of one client are not positive", o.MaxClientSessions)
	require(o.MaxSessions >= 0, "%d sessions are negative", o.MaxSessions)
	require(o.MaxMessage > 0, "longest message of %d bytes is not positive", o.MaxMessage)
	require(o.MaxMessage <= maxMaxMessage, "longest message of %d bytes is above %d", o.MaxMessage, maxMaxMessage)
	require(o.MaxQueue >= o.MaxMessage+queueSlack,
		"a session's queue of %d bytes does not hold a message of %d and %d more", o.MaxQueue, o.MaxMessage, queueSlack)
	require(o.MaxQueueTotal >= o.MaxQueue, "all queues together (%d bytes) are less than one (%d)", o.MaxQueueTotal, o.MaxQueue)
	require(o.SlowConsumer == Disconnect || o.SlowConsumer == DropOldest,
		"slow consumer rule %q; allowed are %s and %s", o.SlowConsumer, Disconnect, DropOldest)
	return errors.Join(errs...)
}

// maxName is the longest name of a node, in bytes; its ID adds 9.
const maxName = 128

func validName(name string) bool {
	return name != "" && len(name) <= maxName && strings.IndexFunc(name, func(c rune) bool { return !nameRune(c) }) < 0
}

func nameRune(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '.' || c == '_' || c == '-'
}

// hostName is the host's name in the characters that a node's name may have.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "node"
	}
	name = strings.Map(func(c rune) rune {
		if nameRune(c) {
			return c
		}
		return '-'
	}, name)
	return name[:min(len(name), maxName)]
}

// randomHex returns n random bytes in hexadecimal digits. Nobody guesses 12.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
