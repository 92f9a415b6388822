package router

import (
	"errors"
	"slices"
	"testing"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
	"github.com/beeline-ws/beeline/router/task"
)

// releases is a registry that takes note of what is released.
type releases struct {
	Registry
	tokens []string
}

func (x *releases) Release(l *registry.Lease) { x.tokens = append(x.tokens, l.Token()) }

// newClaimStory returns what knowledge is, with a registry and under a rule.
func newClaimStory(rule registry.Duplicates) (*knowledge, *releases) {
	x, reg := newKnowledge(), new(releases)
	x.r.reg, x.r.local = reg, x.table
	x.r.opts.DuplicatesOf = func(string) registry.Duplicates { return rule }
	x.r.prunes.some = task.Real{}.NewSignal()
	return x, reg
}

// Another session may take the lease before its claim has ended: its session is not welcomed
// then. What others do to other claims of the address is nothing to it.
func TestClaimThatIsTakenMeanwhileWelcomesNobody(t *testing.T) {
	for _, tc := range []struct {
		name      string
		meanwhile func(*knowledge)
		want      error
	}{
		{"nothing", func(*knowledge) {}, nil},
		{"it is replaced", func(x *knowledge) { x.r.replaced("bob", "1") }, ErrReplaced},
		{"an earlier claim is replaced", func(x *knowledge) { x.r.replaced("bob", "0") }, nil},
		{"its lease is lost", func(x *knowledge) { x.r.OnEvicted(&x.join.local.lease) }, ErrLost},
		{"an earlier lease is lost", func(x *knowledge) {
			var l registry.Lease
			l.Name("bob", 0)
			x.r.OnEvicted(&l)
		}, nil},
	} {
		x, reg := newClaimStory(registry.Replace)
		tc.meanwhile(x)
		err := x.table.welcome(x.r, x.join, nil)
		if !errors.Is(err, tc.want) || tc.want != nil && !errors.Is(err, ErrDuplicate) {
			t.Errorf("%s: it ends with %v, want %v", tc.name, err, tc.want)
		}
		if released := slices.Equal(reg.tokens, []string{"1"}); released != (tc.want != nil) {
			t.Errorf("%s: %q are released", tc.name, reg.tokens)
		}
	}
}

// So it is after the welcome.
func TestSessionEndsOnlyWithItsOwnClaim(t *testing.T) {
	for _, tc := range []struct {
		name   string
		event  func(*knowledge)
		reason error
	}{
		{"it is replaced", func(x *knowledge) { x.r.replaced("bob", "1") }, ErrReplaced},
		{"an earlier claim is replaced", func(x *knowledge) { x.r.replaced("bob", "0") }, nil},
		{"its lease is lost", func(x *knowledge) { x.r.OnEvicted(&x.join.local.lease) }, ErrLost},
		{"an earlier lease is lost", func(x *knowledge) {
			var l registry.Lease
			l.Name("bob", 0)
			x.r.OnEvicted(&l)
		}, nil},
	} {
		x, _ := newClaimStory(registry.Replace)
		s := new(member)
		x.join.session = s
		x.welcome(t)
		tc.event(x)
		if s.reason != tc.reason {
			t.Errorf("%s: the session ends with %v, want %v", tc.name, s.reason, tc.reason)
		}
		if held := x.table.holds("bob"); held != (tc.reason == nil) {
			t.Errorf("%s: the address is held: %v", tc.name, held)
		}
	}
}

// Under replace a newer session here takes the older one's place and its claim, unless another
// node may have replaced that meanwhile: its announcement is not to end the newest session.
func TestReplacementMakesAClaimOfItsOwnWhenUnsure(t *testing.T) {
	for unsure, want := range map[bool]joinStep{false: joinEnds, true: joinClaims} {
		x, reg := newClaimStory(registry.Replace)
		older := new(member)
		x.join.session = older
		x.welcome(t)
		if unsure {
			x.generation.end()
		}
		next, evict, err := x.table.addOrClaim(x.r, &pendingJoin{address: "bob", session: new(member)})
		if err != nil || next != want || len(evict) != 1 || evict[0] != Session(older) {
			t.Errorf("unsure: %v: %d sessions go, %v, then %d, want the older one and %d", unsure, len(evict), err, next, want)
		}
		if released := slices.Equal(reg.tokens, []string{"1"}); released != unsure {
			t.Errorf("unsure: %v: %q are released", unsure, reg.tokens)
		}
	}
}

// What a failed claim has announced but not published replaces nobody any more.
func TestFailedClaimReplacesNobody(t *testing.T) {
	x := &announcement{address: "bob", token: "1", answers: new(answers)}
	if _, kind := x.Append(nil, nil); kind != link.KindReplaced {
		t.Fatalf("while the claim is under way it is of kind %d, want %d", kind, link.KindReplaced)
	}
	x.answers.end()
	if _, kind := x.Append(nil, nil); kind != link.KindVoid {
		t.Errorf("after the claim has failed it is of kind %d, want %d", kind, link.KindVoid)
	}
}

// Each owner's answer counts, or the claim would wait for it. Who is dead, or does not hold
// the address, is absent.
func TestEachAnswerToAnAnnouncementCounts(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	for result, absent := range map[ackResult]int{
		ackDelivered: 0, ackOverloaded: 0, ackJoining: 0, ackStale: 0, ackNotHere: 1, ackDead: 1, ackUnknown: 1,
	} {
		came := &answers{came: task.Real{}.NewSignal()}
		x := &announcement{address: "bob", answers: came}
		x.settle(n.Router, registry.Owner{NodeID: "n9", Token: "1"}, result)
		if count, gone := came.get(); count != 1 || len(gone) != absent {
			t.Errorf("result %d: %d have answered and %d are absent, want 1 and %d", result, count, len(gone), absent)
		}
	}
}

// An entry that was lost and is written again is announced like a claim.
func TestRestoredEntryIsAnnounced(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.node(1).connect("bob")
	if _, _, alone := c.node(1).local.alone("bob"); !alone {
		t.Fatal("the only owner is not alone")
	}
	var l registry.Lease
	l.Name("bob", 1)
	c.node(0).OnRestored(&l, c.owners("bob"))
	until(t, "the other owner knows that it is not alone", func() bool {
		_, _, alone := c.node(1).local.alone("bob")
		return !alone
	})
}

// Who waits for a claim goes on when it has failed.
func TestFailedClaimHoldsUpNobody(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	var ended []error
	done := func(err error) { ended = append(ended, err) }
	j := &pendingJoin{address: "bob", done: done}
	n.local.mu.Lock()
	n.local.beginLocked(j)
	n.local.mu.Unlock()
	j.waiters = []*pendingJoin{{address: "bob", deadline: n.now(), done: done}} // so that it ends at once
	n.endJoin(j, errStopped)
	if len(ended) != 2 || !errors.Is(ended[0], errStopped) || !errors.Is(ended[1], ErrUnavailable) {
		t.Errorf("the claim and who waited for it end with %v", ended)
	}
}
