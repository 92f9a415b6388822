package router

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
)

// lostAnswers has Redis get the scripts of a node and the node no answer.
type lostAnswers struct {
	on atomic.Bool
}

var errAnswerLost = errors.New("the connection broke before the answer")

func (l *lostAnswers) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lostAnswers) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (l *lostAnswers) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		scripts := slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" })
		if !scripts || !l.on.Load() {
			return err
		}
		for _, cmd := range cmds {
			cmd.SetErr(errAnswerLost)
		}
		return errAnswerLost
	}
}

// Redis has made the claim, and its node never learns whom it is to tell.
func TestClaimWhoseAnswerIsLostReplacesNobody(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.Duplicates = registry.Replace })
	lost := new(lostAnswers)
	c.node(2).client.AddHook(lost)
	old := c.node(1).connect("bob")
	lost.on.Store(true)
	if _, err := c.node(2).tryConnect("bob"); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("joining: %v, want that it is unavailable", err)
	}
	lost.on.Store(false)
	until(t, "only the earlier session owns bob", func() bool {
		owners := c.owners("bob")
		return len(owners) == 1 && owners[0].NodeID == "n1"
	})
	c.node(0).wantOutcome("bob", "1", Delivered)
	old.wantGot("1")

	newer := c.node(2).connect("bob")
	old.wantEvicted(ErrReplaced)
	c.node(0).wantOutcome("bob", "2", Delivered)
	newer.wantGot("2")
}

// An entry that no session stands behind goes with the next claim.
func TestReplacedEntryThatNobodyHoldsIsRemoved(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.Duplicates = registry.Replace })
	c.client.HSet(t.Context(), c.node(0).keys.Address("bob"), "n0", "1")
	bob := c.node(1).connect("bob")
	until(t, "bob has one owner", func() bool { return len(c.owners("bob")) == 1 })
	c.node(0).wantOutcome("bob", "1", Delivered)
	bob.wantGot("1")
}
