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
	Asking                      // single commands of any goroutine

	activities = iota
)

var activityNames = [activities]string{"subscribe", "publish", "heartbeat", "verify leases", "give commands"}

// When the log is told again that an outage lasts: the first time after firstReminder, and
// then after twice as long each time, up to lastReminder.
const (
	firstReminder = 10 * time.Second
	lastReminder  = 5 * time.Minute
)

// maxCauses bounds the causes of one outage that are told.
const maxCauses = 16

// outageState is what the log knows of Redis.
//
//	            an activity fails
//	          ┌──────────────────────► outageTold ─┐
//	          │                            ▲       │ none fails any more:
//	noOutage ─┤                  a reminder│       │ the log is told, unless it was muted
//	    ▲     │ fails again soon,          │       │
//	    │     └──────────────────────► outageMuted ┤
//	    │       for a cause that was told          │
//	    └──────────────────────────────────────────┘
type outageState uint8

const (
	// noOutage: no activity fails. The first failure leads to outageTold, or to outageMuted
	// if it is one of those that come and go: it has a cause that was told, and comes within
	// firstReminder after an outage that was as short.
	noOutage outageState = iota
	// outageTold: an activity fails, and the log knows. Other causes are told once each,
	// and reminders follow. It ends when no activity fails any more.
	outageTold
	// outageMuted: an activity fails, and the log is not told, because Redis fails and works
	// in turns, such as where it cuts off a subscriber again and again. Another cause, or a
	// reminder, leads to outageTold; if it ends before, its end is not told either.
	outageMuted
)

// outage tells the log when Redis stops working for this node, why, that it still does
// not, and when it works again. Many goroutines fail in an outage, and each tries again
// several times a second: each cause is told once.
type outage struct {
	log    *slog.Logger
	up     prometheus.Gauge
	now    func() time.Time
	prefix string // of keys and channels, for the advice

	mu     sync.Mutex // guards what follows
	state  outageState
	failed [activities]bool
	began  time.Time // the outage, unless there is none
	ended  time.Time // the last outage
	short  bool      // it was shorter than firstReminder

	// Of the outages since the log was told last that one begins.
	since        time.Time           // the first of them began
	times        int                 // there were
	told         map[string]struct{} // causes
	reminderAt   time.Time           // the next
	reminderStep time.Duration       // from it to the one after it
}

func newOutage(log *slog.Logger, up prometheus.Gauge, prefix string) *outage {
	up.Set(1)
	return &outage{log: log, up: up, now: time.Now, prefix: prefix}
}

// Failed says that an activity failed, each time that it does. The log is told of the
// first failure, of each other cause, and at growing intervals that it lasts. It must not
// be called with a lock held. A connection that this node has closed itself is no failure:
// the reason was logged there.
func (c *Client) Failed(a Activity, err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, redis.ErrClosed) {
		return
	}
	c.outage.fail(a, c.conns.explain(err))
}

// Works says that an activity succeeded. When no activity fails any more, the log is told.
func (c *Client) Works(a Activity) { c.outage.works(a) }

func (o *outage) fail(a Activity, err error) {
	cause, attrs := causeOf(err), []any{"doing", activityNames[a], "error", err}
	if advice := advise(err, o.prefix); advice != "" {
		cause = advice // different errors may have one
		attrs = append(attrs, "advice", advice)
	}
	o.mu.Lock()
	o.failed[a] = true
	message, more := o.failedLocked(cause, o.now())
	o.mu.Unlock()
	if message != "" {
		o.log.Warn(message, append(attrs, more...)...)
	}
}

// failedLocked is the step of the states when something fails. It returns what the log is
// to be told; empty: nothing. The caller holds mu.
func (o *outage) failedLocked(cause string, now time.Time) (message string, attrs []any) {
	_, told := o.told[cause]
	switch {
	case o.state == noOutage && told && o.short && now.Sub(o.ended) < firstReminder:
		o.beginLocked(outageMuted, now)
	case o.state == noOutage:
		o.since, o.times, o.told = now, 0, make(map[string]struct{})
		o.reminderAt, o.reminderStep = now.Add(firstReminder), 2*firstReminder
		o.beginLocked(outageTold, now)
		message = "Redis does not work for this node"
	case !told && len(o.told) < maxCauses:
		message = "Redis does not work for this node: another cause"
	}
	if message == "" && o.reminderIsDueLocked(now) {
		message = "Redis still does not work for this node"
		o.reminderAt, o.reminderStep = now.Add(o.reminderStep), min(2*o.reminderStep, lastReminder)
		attrs = append(attrs, "for", now.Sub(o.since).Round(time.Millisecond))
		if o.times > 1 {
			attrs = append(attrs, "times", o.times)
		}
	}
	if message != "" {
		o.state = outageTold
		if len(o.told) < maxCauses {
			o.told[cause] = struct{}{}
		}
	}
	return message, attrs
}

// beginLocked begins an outage. The caller holds mu.
func (o *outage) beginLocked(state outageState, now time.Time) {
	o.state, o.began = state, now
	o.times++
	o.up.Set(0)
}

// reminderIsDueLocked reports whether the log is to be told again. A muted outage that
// lasts is told as early as one that is not. The caller holds mu.
func (o *outage) reminderIsDueLocked(now time.Time) bool {
	return !now.Before(o.reminderAt) || o.state == outageMuted && now.Sub(o.began) >= firstReminder
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
	took, muted := o.ended.Sub(o.began), o.state == outageMuted
	o.state, o.short = noOutage, took < firstReminder
	o.up.Set(1)
	o.mu.Unlock()
	if !muted {
		o.log.Info("Redis works for this node again", "after", took.Round(time.Millisecond))
	}
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
