package redisconn

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

// Redis may also fail and work in turns, such as where it cuts off a subscriber again and
// again. What fails for a cause that was told, less than firstReminder after an outage that was
// as short, is told as what lasts is.

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
	ended  time.Time           // the last outage
	brief  bool                // it was shorter than firstReminder
	since  time.Time           // it fails, or fails and works in turns
	times  int                 // it has failed since then
	quiet  bool                // that it fails now is not told
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
func (c *Client) Failed(a Activity, err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, redis.ErrClosed) {
		return
	}
	c.outage.fail(a, c.conns.why(err))
}

// Works says that an activity succeeded. When none fails any more, the log is told.
func (c *Client) Works(a Activity) { c.outage.works(a) }

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
	case o.began.IsZero() && told && o.brief && now.Sub(o.ended) < firstReminder:
		o.began, o.quiet = now, true
		o.times++
		o.up.Set(0)
	case o.began.IsZero():
		message = "Redis does not work for this node"
		o.began, o.since, o.times, o.told = now, now, 1, make(map[string]struct{})
		o.next, o.rest = now.Add(firstReminder), 2*firstReminder
		o.up.Set(0)
	case !told && len(o.told) < maxCauses:
		message = "Redis does not work for this node: another cause"
	}
	if message == "" && o.reminds(now) {
		message = "Redis still does not work for this node"
		o.next, o.rest = now.Add(o.rest), min(2*o.rest, lastReminder)
		attrs = append(attrs, "for", now.Sub(o.since).Round(time.Millisecond))
		if o.times > 1 {
			attrs = append(attrs, "times", o.times)
		}
	}
	o.quiet = o.quiet && message == ""
	if message != "" && len(o.told) < maxCauses {
		o.told[cause] = struct{}{}
	}
	o.mu.Unlock()
	if message != "" {
		o.log.Warn(message, attrs...)
	}
}

// reminds tells whether it is time to tell what was told before. The caller holds mu.
func (o *outage) reminds(now time.Time) bool {
	return !now.Before(o.next) || o.quiet && now.Sub(o.began) >= firstReminder
}

func (o *outage) works(a Activity) {
	o.mu.Lock()
	was := o.failed[a]
	o.failed[a] = false
	if !was || o.failed != [activities]bool{} {
		o.mu.Unlock()
		return
	}
	o.ended = o.now()
	took, quiet := o.ended.Sub(o.began), o.quiet
	o.began, o.brief, o.quiet = time.Time{}, took < firstReminder, false
	o.up.Set(1)
	o.mu.Unlock()
	if quiet {
		return
	}
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
