//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

// start starts a site without a plan.
func start(t *testing.T, mix Mix) *site {
	t.Helper()
	opts := options(t)
	opts.Length = 0
	s := newSite(mix, opts)
	t.Cleanup(s.stop)
	needRedis(t, s.start(t.Context()))
	return s
}

func TestInterruptedSiteJudgesWhatHappened(t *testing.T) {
	s := start(t, Mix{Name: "site", Form: OneRedis, Nodes: 2})
	s.faults = []Fault{{At: time.Hour, Kind: MoveClient}}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var watching sync.WaitGroup
	watching.Go(func() {
		defer interrupt()
		s.await(ctx, time.Minute, func() bool { return s.ledger.Size() > 100 })
	})
	r := s.judge(s.run(ctx, time.Now()))
	watching.Wait()
	if ctx.Err() == nil || r.Verdict.Messages <= 100 || len(r.Verdict.Violations) > 0 {
		t.Errorf("%v: %d messages, %v", ctx.Err(), r.Verdict.Messages, r.Verdict.Violations)
	}
}

func TestNodeThatTakesNobodyIsFoundByTheRollCall(t *testing.T) {
	s := start(t, Mix{Name: "site", Form: OneRedis, Nodes: 2})
	s.returnTime = 8 * time.Second // a Redis that has just been started is not trusted for up to two
	s.dial = func(ctx context.Context, url, name string) (wire, string, error) {
		if url == s.nodes[1].current().URL {
			return nil, "", errors.New("the network is down")
		}
		return dial(ctx, url, name)
	}
	s.opts.Rules.Deadline, s.opts.Rules.Slack = 100*time.Millisecond, 100*time.Millisecond // nobody is on n2 to call
	r := s.judge(s.run(t.Context(), time.Now()))
	var told []string
	for _, v := range r.Verdict.Violations {
		if v.Kind == ledger.Unreached {
			told = append(told, v.What)
		}
	}
	for _, want := range []string{"site-r2 could not connect again to site/n2", "nobody on site/n2 could reach site-r1"} {
		if !slices.ContainsFunc(told, func(what string) bool { return strings.Contains(what, want) }) {
			t.Errorf("told is %q, want %q", told, want)
		}
	}
}

func TestEveryKindOfFaultIsInjected(t *testing.T) {
	missing := Kinds()
	for form, kinds := range map[Form][]Kind{
		OneRedis:  {KillNode, StopNode, FreezeNode, RestartRedis, PauseRedis, MoveClient, DropClient},
		Linked:    {CutLink, SwallowLink, StallLink},
		Sentinels: {SentinelFailover, SentinelKill},
		Clustered: {ClusterFailover, ClusterKill, MigrateLease, MigrateChannel},
	} {
		s := start(t, Mix{Name: "site", Form: form, Nodes: 2})
		s.people[0].visit = &visit{} // who has none is not moved
		for _, kind := range kinds {
			missing = slices.DeleteFunc(missing, func(k Kind) bool { return k == kind })
			if err := s.do(t.Context(), Fault{Kind: kind, For: 10 * time.Millisecond}); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if kind.moves() {
				<-s.people[0].orders
			}
			if s.injected[kind] != 1 {
				t.Errorf("%s is counted %d times", kind, s.injected[kind])
			}
		}
		s.inject(t.Context(), time.Now())
		if len(s.troubles) > 0 || slices.ContainsFunc(s.nodes, func(p *place) bool { return !p.isUp() }) {
			t.Errorf("%s is not mended: %q", form, s.troubles)
		}
		s.stop()
	}
	if len(missing) > 0 {
		t.Errorf("no form has %q", missing)
	}
}

func TestAskerIsNotOnANodeThatStandsStill(t *testing.T) {
	s := newSite(Mix{Name: "site", Nodes: 4}, Options{People: 1})
	for i := range 4 {
		s.nodes = append(s.nodes, &place{name: fmt.Sprintf("site/n%d", i+1)})
		s.people[i].visit = &visit{node: i}
	}
	s.ledger.Outage("site/n2", ledger.Stopped, time.Now())
	s.people[2].visit = nil
	if p, v := s.asker(0); p != s.people[3] || v.node != 3 {
		t.Errorf("the asker is %v", p)
	}
}

// TestMigrationIsNoOutage looks at the excuse that a fault gives to a message which
// failed while it was injected.
func TestMigrationIsNoOutage(t *testing.T) {
	s := start(t, Mix{Name: "site", Form: Clustered, Nodes: 1})
	sender := s.ledger.Dial("sender", "elsewhere", time.Now())
	sender.Welcomed("sender's", time.Now())
	receiver := s.ledger.Dial("receiver", "elsewhere", time.Now())
	receiver.Welcomed("receiver's", time.Now())
	failed := 0
	for _, c := range []struct {
		kind    Kind
		excused bool
	}{{MigrateLease, false}, {MigrateChannel, false}, {ClusterFailover, true}, {ClusterKill, true}} {
		m := sender.Send("receiver", false, time.Now())
		if err := s.do(t.Context(), Fault{Kind: c.kind, Target: 1}); err != nil {
			t.Fatal(err)
		}
		sender.Receipt(m.ID(), "timeout", "", time.Now())
		if !c.excused {
			failed++
		}
		if n := s.ledger.Judge(ledger.Rules{Deadline: time.Minute}).Count(ledger.Groundless); n != failed {
			t.Errorf("%s: %d failed for no reason, want %d", c.kind, n, failed)
		}
	}
}

func TestOnlyAnAnswerRefuses(t *testing.T) {
	for _, c := range []struct {
		err  error
		want ledger.End
	}{
		{fmt.Errorf("connect: %w", syscall.ECONNREFUSED), ledger.Refused},
		{errors.New("connection refused: HTTP status 503: Redis is away"), ledger.Refused},
		{fmt.Errorf("wait for the welcome: %w", context.DeadlineExceeded), ledger.ByClient},
		{fmt.Errorf("wait for the welcome: %w", syscall.ECONNRESET), ledger.ByClient},
	} {
		if end := ender(c.err); end != c.want {
			t.Errorf("%v: the attempt was ended by %s, want %s", c.err, end, c.want)
		}
	}
}

func TestKillsWithoutAMeasurementAreCounted(t *testing.T) {
	r := &Result{Sites: []SiteResult{{
		Mix: Mix{Name: "site"}, Verdict: ledger.New("empty").Judge(DefaultRules()),
		Injected: map[Kind]int{KillNode: 3}, Recoveries: []ledger.Recovery{{Took: time.Second}},
	}}}
	var out strings.Builder
	r.Write(&out)
	if !strings.Contains(out.String(), "3 kills,    1 measured; none within 10s after 1 kills") {
		t.Error(out.String())
	}
}

// recorder is a connection that remembers what is sent, and takes its time.
type recorder struct {
	wire
	mu  sync.Mutex
	ids []string
}

func (r *recorder) Send(_, id string, _ json.RawMessage) error {
	runtime.Gosched()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
	return nil
}

// A probe sends as a person who sends as well: what the ledger calls later must be sent
// later.
func TestPlacesAreInTheOrderOfSending(t *testing.T) {
	const senders, each = 4, 500
	s := newSite(Mix{Name: "site", Nodes: 2}, options(t))
	p, to, r := s.people[0], s.people[1].name, new(recorder)
	v := &visit{wire: r, session: s.ledger.Dial(p.name, "n1", time.Now()), pending: make(map[string]*ledger.Message)}
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for range each {
				p.send(v, to, false)
			}
		})
	}
	sending.Wait()
	if len(r.ids) != senders*each {
		t.Fatalf("%d messages were sent", len(r.ids))
	}
	for i, id := range r.ids {
		if want := fmt.Sprintf("m%d", i); id != want {
			t.Fatalf("sent as number %d: %s", i, id)
		}
	}
}

// Nobody answers for the client of a node that was killed: whether that is a violation
// depends on what else happens at the site.
func TestRecoveryIsJudgedWhereRedisIsUndisturbed(t *testing.T) {
	for _, m := range mixes() {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(m, Options{People: 2, Rules: DefaultRules()})
			for i := range m.Nodes {
				s.nodes = append(s.nodes, &place{name: fmt.Sprintf("%s/n%d", m.Name, i+1)})
			}
			asker := s.people[1]
			v := &visit{wire: new(recorder), node: 1, ended: make(chan struct{}), pending: make(map[string]*ledger.Message)}
			v.session = s.ledger.Dial(asker.name, s.nodes[1].name, time.Now())
			moment := make(chan time.Time, 1)
			moment <- time.Now()
			s.ask(t.Context(), asker, v, s.people[0].name, moment)
			want := 0
			if m.Name == "nodes" {
				want = 1
			}
			verdict := s.ledger.Judge(s.opts.Rules)
			if n := verdict.Count(ledger.Late); n != want || len(s.recoveries) != 1 || s.recoveries[0].Known {
				t.Errorf("%s: %d violations, want %d; recoveries %+v", m.Name, n, want, s.recoveries)
			}
		})
	}
}
