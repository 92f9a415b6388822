package registry

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// slowEars take their time to hear of a loss.
type slowEars struct {
	*testNode
	hear chan struct{}
}

func (e slowEars) OnDataLost() {
	e.testNode.OnDataLost()
	<-e.hear
}

func TestNothingIsVouchedForBeforeTheLossWasTold(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{Heartbeat: calm})
	ears := slowEars{a, make(chan struct{})}
	hear := sync.OnceFunc(func() { close(ears.hear) })
	t.Cleanup(hear)
	a.mu.Lock()
	a.events = ears
	a.mu.Unlock()
	l := a.claim("alice")
	single(s).flush(t)
	beaten := make(chan error, 1)
	go func() { beaten <- a.Beat(context.Background(), NodeInfo{}) }()
	receive(t, a.lost, "the flush is noticed")
	if a.AllSettled() {
		t.Error("settled, though OnDataLost has not returned")
	}
	for range 2 { // the second verification begins when the first has ended
		a.VerifyLeases()
		if got := receive(t, a.restored, "the lease is verified"); got != l {
			t.Errorf("claimed again: %s", got.Address())
		}
		must(t, a.rdb.Del(t.Context(), a.keys.Address("alice")).Err())
	}
	if vouched := a.vouched(); vouched != "" {
		t.Errorf("vouches for %s", vouched)
	}
	a.wantSettled("alice", false)
	hear()
	must(t, receive(t, beaten, "the beat ends"))
	a.keepBeating()
	a.eventuallySettled("alice")
	a.wantOwners("alice", a.owner(l))
}

// pacer notes when each pipeline that refreshes began and ended.
type pacer struct {
	mu  sync.Mutex
	ran []span
}

type span struct{ began, ended time.Time }

func (p *pacer) watch(send func() error, cmds []redis.Cmder) error {
	began := time.Now()
	err := send()
	if args := cmds[0].Args(); len(args) > 1 && args[1] == refreshScript.SHA() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ran = append(p.ran, span{began, time.Now()})
	}
	return err
}

func (p *pacer) batches() []span {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ran
}

// However many leases a node has, what it asks of a Redis that has just come back is
// bounded: batches, each followed by a pause of its own length at least.
func TestVerificationLeavesRedisTimeForOthers(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{Heartbeat: 5 * time.Minute}) // no lease is due meanwhile
	const leases = 5*refreshBatch + 1
	claimMany(a, leases)
	a.refreshAllNow() // loads the script
	single(s).flush(t)
	p := new(pacer)
	a.rdb.AddHook(onPipelines(p.watch))
	a.beat()
	for range leases {
		receive(t, a.restored, "a lease is claimed again")
	}
	batches := p.batches()
	if len(batches) < 6 {
		t.Fatalf("%d leases were verified in %d batches of at most %d", leases, len(batches), refreshBatch)
	}
	for i, b := range batches[1:] {
		before := batches[i]
		if pause, took := b.began.Sub(before.ended), before.ended.Sub(before.began); pause < max(verifyPause, took) {
			t.Errorf("batch %d took %v and was followed by the next after %v", i, took, pause)
		}
	}
}

func TestPausesOfAVerificationDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[time.Duration]bool)
	for range 100 {
		for _, took := range []time.Duration{0, time.Second} {
			pause := pauseAfter(took)
			if low := max(verifyPause, took); pause < low || pause > low*3/2 {
				t.Errorf("pause of %v after a batch of %v", pause, took)
			}
			seen[pause] = true
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d different pauses: nodes keep step", len(seen))
	}
}

// A failover may lose a release and the claim after it, but not the claim before.
func TestEntryOfAnEarlierClaimIsNobodyElses(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		for range 20 { // so that tokens have more than one digit
			a.Release(a.claim("somebody"))
		}
		gone := a.claim("alice")
		earlier := gone.Token()
		a.Release(gone)
		l := a.claim("alice")
		must(t, a.rdb.HSet(t.Context(), a.keys.Address("alice"), "a", earlier).Err())
		a.VerifyLeases()
		if got := receive(t, a.restored, "the claim is made again"); got != l {
			t.Errorf("claimed again: %s", got.Address())
		}
		a.wantOwners("alice", a.owner(l))
	})
}
