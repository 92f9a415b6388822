package redisconn

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// outageStory is an outage on a virtual clock, and what it logged.
type outageStory struct {
	*outage
	at  time.Time
	log bytes.Buffer
	up  prometheus.Gauge
}

func newOutageStory() *outageStory {
	s := &outageStory{at: time.Unix(1000, 0), up: prometheus.NewGauge(prometheus.GaugeOpts{Name: "up"})}
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	s.outage = newOutage(slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{ReplaceAttr: noTime})), s.up, "beeline")
	s.now = func() time.Time { return s.at }
	return s
}

func (s *outageStory) want(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := s.log.String(), strings.Join(lines, ""); got != want {
		t.Errorf("logged:\n%s\nwant:\n%s", got, want)
	}
	s.log.Reset()
}

// An outage is one story, however often the node tries: it begins, other causes are
// told once each, it is told at growing intervals that it lasts, and it ends.
func TestOutageIsToldOnceAndToItsEnd(t *testing.T) {
	s := newOutageStory()
	reset := func(port int) error { // the connection's own port differs each time
		return fmt.Errorf("beat: %w", &net.OpError{Op: "read", Net: "tcp", Err: errors.New("reset"),
			Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port}, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 6379}})
	}
	refused := errors.New("connection refused")
	s.works(Beating)
	s.want(t)
	s.fail(Subscribing, reset(40001))
	s.fail(Beating, reset(40002))
	s.fail(Subscribing, refused)
	s.fail(Publishing, refused)
	s.fail(Subscribing, reset(40003)) // the causes take turns
	s.want(t,
		"level=WARN msg=\"Redis does not work for this node\" doing=subscribe error=\"beat: read tcp 10.0.0.1:40001->10.0.0.2:6379: reset\"\n",
		"level=WARN msg=\"Redis does not work for this node: another cause\" doing=subscribe error=\"connection refused\"\n")
	if testutil.ToFloat64(s.up) != 0 {
		t.Error("the gauge says that Redis is up")
	}
	reminders := 0
	for s.at = s.at.Add(250 * time.Millisecond); s.at.Before(time.Unix(1000+3600, 0)); s.at = s.at.Add(250 * time.Millisecond) {
		s.fail(Subscribing, refused)
		reminders += strings.Count(s.log.String(), "Redis still does not work for this node")
		if s.log.Len() > 0 && !strings.Contains(s.log.String(), " for=") {
			t.Errorf("not a reminder: %s", s.log.String())
		}
		s.log.Reset()
	}
	if reminders < 10 || reminders > 20 { // 10 s, 30 s, 70 s, 150 s, 310 s, and then every 5 min
		t.Errorf("%d reminders in an hour", reminders)
	}
	s.works(Publishing)
	s.works(Subscribing)
	s.want(t) // heartbeats still fail
	s.works(Beating)
	s.works(Beating)
	s.want(t, "level=INFO msg=\"Redis works for this node again\" after=1h0m0s\n")
	if testutil.ToFloat64(s.up) != 1 {
		t.Error("the gauge says that Redis is down")
	}
	s.fail(Publishing, refused)
	s.want(t, "level=WARN msg=\"Redis does not work for this node\" doing=publish error=\"connection refused\"\n")
}

// Whoever cuts off a subscriber again and again fills no log, and the last line tells
// how it is.
func TestWhatFailsAndWorksInTurnsIsToldNowAndThen(t *testing.T) {
	s := newOutageStory()
	cut := errors.New("EOF")
	for range 600 { // two minutes
		s.fail(Subscribing, cut)
		s.at = s.at.Add(100 * time.Millisecond)
		s.works(Subscribing)
		s.at = s.at.Add(100 * time.Millisecond)
	}
	if n := strings.Count(s.log.String(), "does not work"); n < 4 || n > 6 {
		t.Errorf("%d lines tell that it fails, want about 5", n)
	}
	if !strings.Contains(s.log.String(), "times=") {
		t.Error("no line tells how often it failed")
	}
	if lines := strings.Split(strings.TrimSpace(s.log.String()), "\n"); !strings.Contains(lines[len(lines)-1], "works") {
		t.Errorf("the last line is %s", lines[len(lines)-1])
	}
	s.log.Reset()
	for range 110 { // now it lasts
		s.fail(Subscribing, cut)
		s.at = s.at.Add(100 * time.Millisecond)
	}
	if !strings.Contains(s.log.String(), "Redis still does not work") {
		t.Error("an outage that lasts is not told after short ones")
	}
	s.log.Reset()
	s.works(Subscribing)
	s.at = s.at.Add(time.Minute)
	s.fail(Subscribing, cut)
	if log := s.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "Redis works") || !strings.Contains(log, "Redis does not work") {
		t.Errorf("logged: %s", log)
	}
}

func TestCausesOfAnOutageAreBounded(t *testing.T) {
	s := newOutageStory()
	for i := range 10 * maxCauses {
		s.fail(Beating, fmt.Errorf("cause %d", i))
	}
	if n := strings.Count(s.log.String(), "\n"); n != maxCauses || len(s.told) > maxCauses {
		t.Errorf("%d lines, %d causes kept; want %d", n, len(s.told), maxCauses)
	}
}
