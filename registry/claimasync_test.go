package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// pending is a claim whose answer comes later.
type pending struct {
	lease   Lease
	answers chan pendingAnswer
}

type pendingAnswer struct {
	others []Owner
	err    error
}

func (n *testNode) begin(deadline time.Time, address string) *pending {
	p := &pending{answers: make(chan pendingAnswer, 2)}
	n.ClaimAsync(deadline, &p.lease, address, n.rule, p.claimed)
	return p
}

func (p *pending) claimed(others []Owner, err error) { p.answers <- pendingAnswer{others, err} }

func (p *pending) answer(t testing.TB) pendingAnswer {
	t.Helper()
	return receive(t, p.answers, "the claim is answered")
}

func TestEveryClaimOfAGroupHasItsOwnAnswer(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}).under(Reject), startNode(t, s, "b", Options{}).under(Reject)
		const clients = 300
		held := make(map[int]*Lease)
		for i := 0; i < clients; i += 3 {
			held[i] = a.claim(fmt.Sprint("client", i))
		}
		var claims []*pending
		for i := range clients {
			claims = append(claims, b.begin(time.Now().Add(time.Minute), fmt.Sprint("client", i)))
		}
		for i, p := range claims {
			got, address := p.answer(t), fmt.Sprint("client", i)
			if atA := held[i]; atA != nil {
				wantError(t, got.err, ErrHeld)
				b.wantOwners(address, a.owner(atA))
				continue
			}
			must(t, got.err)
			b.wantOwners(address, b.owner(&p.lease))
			b.wantTTL(address)
		}
		for _, p := range claims {
			if len(p.answers) > 0 {
				t.Error("a claim is answered twice")
			}
		}
	})
}

func TestLaterClaimOfAGroupWins(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}).under(Replace), startNode(t, s, "b", Options{}).under(Replace)
		atB := b.claim("alice")
		first, second := a.begin(time.Time{}, "alice"), a.begin(time.Time{}, "alice")
		others := first.answer(t).others
		if len(others) != 1 || others[0] != b.owner(atB) {
			t.Errorf("others: %v, want b's", others)
		}
		must(t, second.answer(t).err)
		a.wantOwners("alice", a.owner(&second.lease), b.owner(atB))
	})
}

func TestClaimsPastTheirDeadlineAreNotSent(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{})
	a.claim("warm")
	s.Pause()
	sent := a.begin(time.Time{}, "sent")
	eventually(t, func() bool { return a.waiting() == 0 }, func() string { return "the first claim is not sent" })
	soon := time.Now().Add(20 * time.Millisecond)
	late, inTime := a.begin(soon, "late"), a.begin(soon.Add(time.Minute), "in time")
	time.Sleep(time.Until(soon) + time.Millisecond) // what is tested: a deadline that passes
	before := a.wantsReleased()
	s.Resume()
	must(t, sent.answer(t).err)
	wantError(t, late.answer(t).err, context.DeadlineExceeded)
	must(t, inTime.answer(t).err)
	a.wantOwners("late")
	if late.lease.state == leaseHeld || a.wantsReleased() != before {
		t.Error("a claim that was not sent is held or released")
	}
}

// waiting returns how many claims are queued.
func (n *testNode) waiting() int {
	n.batcher.mu.Lock()
	defer n.batcher.mu.Unlock()
	return len(n.batcher.claims)
}

// wantsReleased returns how many releases are queued.
func (n *testNode) wantsReleased() int {
	n.batcher.mu.Lock()
	defer n.batcher.mu.Unlock()
	return len(n.batcher.releases)
}

// startUnsettled starts a node whose claims wait, because another one says nothing.
func startUnsettled(t *testing.T, s store) *testNode {
	t.Helper()
	opts := Options{Heartbeat: time.Minute}
	a := startNode(t, s, "a", opts)
	quietNode(t, s, "mute", opts)
	s.flush(t)
	return a
}

func TestUnsettledClaimsEndAtTheirDeadlineOrTheStop(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a := startUnsettled(t, s)
		endless := a.begin(time.Time{}, "alice")
		err := context.DeadlineExceeded
		for errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnsettled) { // a machine that stands still does not send it
			err = a.begin(time.Now().Add(2*time.Second), "bob").answer(t).err
		}
		wantError(t, err, ErrUnsettled)
		eventually(t, func() bool { return a.repeating.Load() == 1 }, func() string { return "a claim that failed goes on" })
		a.eventuallyOwners("bob")

		must(t, a.Stop(t.Context()))
		if got := endless.answer(t); !errors.Is(got.err, errStopped) {
			t.Errorf("after the stop: %v", got.err)
		}
		wantError(t, a.begin(time.Time{}, "dave").answer(t).err, errStopped)
	})
}

// Nobody waits for what a claim of a client that has gone would wait for.
func TestWithdrawnClaimLeavesNoEntry(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a := startUnsettled(t, s)
		waits := a.begin(time.Time{}, "alice")
		eventually(t, func() bool { return a.repeating.Load() == 1 }, func() string { return "the claim does not wait" })
		a.Withdraw(&waits.lease)
		wantError(t, waits.answer(t).err, ErrUnsettled)
		a.eventuallyOwners("alice")

		underWay := a.begin(time.Now().Add(time.Hour), "bob")
		a.Withdraw(&underWay.lease)
		wantError(t, underWay.answer(t).err, ErrUnsettled)
		a.eventuallyOwners("bob")
		eventually(t, func() bool { return a.repeating.Load() == 0 }, func() string { return "a claim still waits" })
		a.mu.Lock()
		defer a.mu.Unlock()
		if n := len(a.waits); n > 0 {
			t.Errorf("%d waits are remembered", n)
		}
	})
}

// While an epoch is not settled, an owner's entry may be missing. A claim that did not
// see it is made again, although the epoch has settled by the time it is answered.
func TestClaimSentBeforeTheEpochSettledIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{}).under(Replace)
	enter := func(s epochState) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.epochs.of["0"].state = s
		a.settledChangedLocked()
	}
	sending := make(chan struct{}, 10)
	a.rdb.AddHook(onPipelines(func(send func() error, _ []redis.Cmder) error {
		sending <- struct{}{}
		return send()
	}))
	s.Pause()
	enter(epochVerified)
	p := a.begin(time.Time{}, "alice")
	first := p.lease.Token()
	receive(t, sending, "the claim is sent")
	enter(epochSettled)
	s.Resume()
	must(t, p.answer(t).err)
	if p.lease.Token() == first {
		t.Error("the claim was made once")
	}
	a.wantOwners("alice", a.owner(&p.lease))
}

func TestClaimsThatWaitForAnEpochAreBounded(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Redis: redistest.Start(t).Client(t), NodeID: "a"})
	must(t, err)
	r.repeating.Store(maxWaitingClaims)
	var got error
	r.claimAnswered(&claim{address: "alice", claimed: func(_ []Owner, err error) { got = err }})
	wantError(t, got, errBusy)
	if n := r.repeating.Load(); n != maxWaitingClaims {
		t.Errorf("%d wait", n)
	}
}

func TestMalformedAnswersAreErrors(t *testing.T) {
	t.Parallel()
	claims := []*claim{{}, {}}
	for _, exception := range []any{
		"text", []any{}, []any{int64(1)}, []any{int64(0), int64(1)}, []any{int64(3), int64(1)},
		[]any{int64(1), "written"}, []any{int64(1), int64(1), "a"}, []any{int64(1), int64(1), "a", nil},
	} {
		wantError(t, readException(claims, exception), errMalformed)
	}
	must(t, readException(claims, []any{int64(2), int64(refused), "a", "t"}))
	if claims[1].verdict != refused || len(claims[1].others) != 1 {
		t.Errorf("read: %+v", claims[1])
	}
}

func TestMalformedAnswersToARefreshAreErrors(t *testing.T) {
	t.Parallel()
	leases := []*Lease{{}, {}}
	for _, reply := range []any{"text", []any{int64(1)}, []any{int64(0), int64(2)}, []any{int64(3), int64(0)}} {
		cmd := new(redis.Cmd)
		cmd.SetVal(reply)
		if _, _, err := parseRefreshed(leases, cmd); err == nil {
			t.Errorf("%v: no error", reply)
		}
	}
	cmd := new(redis.Cmd)
	cmd.SetVal([]any{int64(1), int64(2), int64(2), int64(0)})
	missing, taken, err := parseRefreshed(leases, cmd)
	must(t, err)
	if len(missing) != 1 || missing[0] != leases[1] || len(taken) != 1 || taken[0] != leases[0] {
		t.Errorf("missing %v, taken %v", missing, taken)
	}
}

// A group whose claims Redis knew and whose releases it did not, as after a restart
// when another node has just claimed.
func TestUnknownScriptHasNoAnsweredClaimMadeAgain(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}).under(Replace), startNode(t, s, "b", Options{}).under(Replace)
		atA, atB := a.claim("bob"), b.claim("alice")
		must(t, a.redis.EachMaster(t.Context(), func(ctx context.Context, master redis.UniversalClient) error {
			return master.ScriptFlush(ctx).Err()
		}))
		must(t, a.redis.Load(t.Context()))
		claims := 0
		a.rdb.AddHook(onPipelines(func(send func() error, cmds []redis.Cmder) error {
			for _, cmd := range cmds {
				if cmd.Args()[1] == claimScript.SHA() {
					claims++
				}
			}
			return send()
		}))

		p := &pending{answers: make(chan pendingAnswer, 1)}
		g := group{epochs: make(map[string]*epochRead)}
		p.lease.address, p.lease.number = "alice", a.tokens.Add(1)
		g.claims = []*claim{{lease: &p.lease, address: "alice", number: p.lease.number, rule: Replace,
			answered: (*Registry).claimAnswered, claimed: p.claimed}}
		g.releases = []release{{address: "bob", number: atA.number}}
		a.batcher.commit(t.Context(), &g)
		answer := p.answer(t)
		must(t, answer.err)
		if len(answer.others) != 1 || answer.others[0] != b.owner(atB) {
			t.Errorf("others: %v, want b's", answer.others)
		}
		if claims != 1 {
			t.Errorf("the claim was made %d times, want once", claims)
		}
		a.wantOwners("bob")
	})
}
