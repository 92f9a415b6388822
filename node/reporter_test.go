package node

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

// reported is a reporter on a virtual clock, of a node that the test makes unready.
type reported struct {
	*rig
	*reporter
	log bytes.Buffer
	at  time.Time
}

func newReported(t *testing.T) *reported {
	r := &reported{rig: start(t, nil), at: time.Unix(1000, 0)}
	node := &Node{router: r.x, log: slog.New(slog.NewTextHandler(&r.log, nil)), born: time.Now()}
	node.ready.Store(true)
	node.handshakes.init(1)
	r.reporter = &node.reporter
	r.reporter.node = node
	return r
}

func (r *reported) hinder(causes ...router.Cause) {
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	r.x.hindrances = nil
	for _, c := range causes {
		r.x.hindrances = append(r.x.hindrances, router.Hindrance{Cause: c, Err: errors.New("because of " + string(c))})
	}
}

func (r *reported) wantLogged(t *testing.T, look func(time.Time), want string) {
	t.Helper()
	r.log.Reset()
	look(r.at)
	got := r.log.String()
	if _, rest, ok := strings.Cut(got, " "); ok { // without the time
		got = rest
	}
	if got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
}

// That a node is not ready is told once for each cause, and so is that it is again.
func TestReadinessIsToldWhenItChanges(t *testing.T) {
	r := newReported(t)
	r.hinder(router.CauseUnsettled) // it has just started
	r.wantLogged(t, r.logReadiness, "level=INFO msg=\"node is not ready\" causes=unsettled why=\"because of unsettled\"\n")
	r.hinder()
	r.wantLogged(t, r.logReadiness, "level=INFO msg=\"node is ready\" after=0s\n")
	r.hinder(router.CauseUnsubscribed)
	r.wantLogged(t, r.logReadiness, "level=WARN msg=\"node is not ready\" causes=unsubscribed why=\"because of unsubscribed\"\n")
	r.at = r.at.Add(time.Second)
	r.wantLogged(t, r.logReadiness, "")
	r.hinder(router.CauseUnsubscribed, router.CauseUnsettled)
	r.wantLogged(t, r.logReadiness,
		"level=WARN msg=\"node is not ready\" causes=unsubscribed,unsettled why=\"because of unsubscribed; because of unsettled\"\n")
	r.hinder(router.CauseUnsettled)
	r.wantLogged(t, r.logReadiness, "")
	r.hinder()
	r.at = r.at.Add(time.Second)
	r.wantLogged(t, r.logReadiness, "level=INFO msg=\"node is ready\" after=2s\n")
	r.wantLogged(t, r.logReadiness, "")
}

// A thousand slow clients are one line every ten seconds.
func TestSlowClientsAreToldInOneLine(t *testing.T) {
	r := newReported(t)
	r.wantLogged(t, r.logSlow, "")
	for range 1000 {
		r.slow("alice", true, 0)
	}
	r.slow("bob", false, 7)
	r.wantLogged(t, r.logSlow, "level=WARN msg=\"clients read too slowly\" closed=1000 missed=7 example=alice\n")
	r.slow("cid", true, 0)
	r.wantLogged(t, r.logSlow, "")
	r.at = r.at.Add(slowEvery)
	r.wantLogged(t, r.logSlow, "level=WARN msg=\"clients read too slowly\" closed=1 missed=0 example=cid\n")
}

// A session that is closed because its client does not read is reported.
func TestSlowSessionIsReported(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxMessage, o.MaxQueue = 4<<10, 16<<10 })
	slow, sender := connect(t, n.Addr(), "slow"), connect(t, n.Addr(), "sender")
	_ = slow // it does not read
	text := strings.Repeat("x", 3<<10)
	eventually(t, "the session is closed", func() bool {
		sender.say(`{"type":"send","to":"slow","data":"` + text + `"}`)
		return testutil.ToFloat64(n.counts.closes[closedSlow]) > 0
	})
	eventually(t, "it is reported", func() bool { return n.reporter.slowClosed.Load() > 0 || n.reporter.slowExample.Load() == nil })
}

func TestBoundsAndBuildAreShown(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxSessions, o.Version = 7, "v1.2.3" })
	if got := testutil.ToFloat64(n.metrics.Node.SessionsLimit); got != 7 {
		t.Errorf("beeline_sessions_limit is %v, want 7", got)
	}
	if got := testutil.ToFloat64(n.metrics.Node.QueuedBytesLimit); got != float64(n.opts.MaxQueueTotal) {
		t.Errorf("beeline_queued_bytes_limit is %v, want %d", got, n.opts.MaxQueueTotal)
	}
	wantGet(t, "http://"+n.AdminAddr()+"/metrics", 200, `beeline_build_info{goversion="go`)
	wantGet(t, "http://"+n.AdminAddr()+"/metrics", 200, `version="v1.2.3"} 1`)
	connect(t, n.Addr(), "ann")
	wantGet(t, "http://"+n.AdminAddr()+"/metrics", 200, "beeline_welcome_seconds_count 1")
	wantGet(t, "http://"+n.AdminAddr()+"/metrics", 200, "process_open_fds")
}
