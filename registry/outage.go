package registry

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Activity is something that a node needs Redis for all the time.
type Activity uint8

// The activities. Redis works for a node while each of them succeeds.
const (
	Subscribing Activity = iota // to the private channel
	Publishing                  // the connection that publishes
	Beating                     // heartbeats
	Verifying                   // of all leases, after data may have been lost
	Asking                      // single commands, whoever gives them

	activities = iota
)

var activityNames = [activities]string{"subscribe", "publish", "heartbeat", "verify leases", "give commands"}

// When an outage that lasts is told again: the first time after firstReminder, and
// then after twice as long each time, up to lastReminder.
const (
	firstReminder = 10 * time.Second
	lastReminder  = 5 * time.Minute
)

// maxCauses bounds the causes of one outage that are told.
const maxCauses = 16

// outage tells the log when Redis stops working for this node, why, that it still does
// not, and when it works again. Many goroutines fail in an outage, and each tries again
// several times a second: each cause is told once.
type outage struct {
	log *slog.Logger
	up  prometheus.Gauge
	now func() time.Time

	prefix string // of keys and channels, for the advice

	mu     sync.Mutex
	failed [activities]bool
	began  time.Time           // zero while nothing fails
	told   map[string]struct{} // causes
	next   time.Time           // of the next reminder
	rest   time.Duration       // from it to the one after it
}

func newOutage(log *slog.Logger, up prometheus.Gauge, prefix string) *outage {
	up.Set(1)
	return &outage{log: log, up: up, now: time.Now, prefix: prefix}
}

// Failed says that an activity failed, each time that it does. The log is told of the
// first failure, of each other cause, and now and then that it lasts. It must not be
// called with a lock held.
// What this node has closed itself is no failure: whoever closed it has told why.
func (r *Registry) Failed(a Activity, err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, redis.ErrClosed) {
		return
	}
	r.outage.fail(a, r.conns.why(err))
}

// Works says that an activity succeeded. When none fails any more, the log is told.
func (r *Registry) Works(a Activity) { r.outage.works(a) }

func (o *outage) fail(a Activity, err error) {
	cause, attrs := causeOf(err), []any{"doing", activityNames[a], "error", err}
	if advice := advise(err, o.prefix); advice != "" {
		cause = advice // however differently it is told
		attrs = append(attrs, "advice", advice)
	}
	o.mu.Lock()
	now := o.now()
	o.failed[a] = true
	message := ""
	switch _, told := o.told[cause]; {
	case o.began.IsZero():
		message = "Redis does not work for this node"
		o.began, o.told = now, make(map[string]struct{})
		o.next, o.rest = now.Add(firstReminder), 2*firstReminder
		o.up.Set(0)
	case !told && len(o.told) < maxCauses:
		message = "Redis does not work for this node: another cause"
	case !now.Before(o.next):
		message = "Redis still does not work for this node"
		o.next, o.rest = now.Add(o.rest), min(2*o.rest, lastReminder)
		attrs = append(attrs, "for", now.Sub(o.began).Round(time.Millisecond))
	}
	if message != "" && len(o.told) < maxCauses {
		o.told[cause] = struct{}{}
	}
	o.mu.Unlock()
	if message != "" {
		o.log.Warn(message, attrs...)
	}
}

func (o *outage) works(a Activity) {
	o.mu.Lock()
	was := o.failed[a]
	o.failed[a] = false
	if !was || o.failed != [activities]bool{} {
		o.mu.Unlock()
		return
	}
	took := o.now().Sub(o.began)
	o.began, o.told = time.Time{}, nil
	o.up.Set(1)
	o.mu.Unlock()
	o.log.Info("Redis works for this node again", "after", took.Round(time.Millisecond))
}

// causeOf returns what is the same each time that something fails for the same reason:
// the port of a connection's own end is not.
func causeOf(err error) string {
	text := err.Error()
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Source != nil {
		other := *op
		other.Source = nil
		text = strings.ReplaceAll(text, op.Error(), other.Error())
	}
	return text
}
