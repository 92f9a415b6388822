package bench

import (
	"strings"
	"testing"
)

// trial is a checker with two messages from client 1 to client 2, and client 2.
type trial struct {
	checker
	to     *inbox
	stamps []stamp
}

func newTrial(bits uint32) *trial {
	x := &trial{to: &inbox{client: 2, last: map[uint32]uint32{}}}
	for range 2 {
		x.stamps = append(x.stamps, stamp{seq: x.send(1, 2, 7, 100, bits), due: 50, from: 1, to: 2})
	}
	return x
}

func (x *trial) want(t *testing.T, stayed connected, want findings, fault string) {
	t.Helper()
	got := x.judge(0, x.count(), stayed)
	if got.sent != 2 || got.delivered != want.delivered || got.lost != want.lost || got.duplicated != want.duplicated ||
		got.misordered != want.misordered || got.misrouted != want.misrouted || got.misanswered != want.misanswered || got.offline != want.offline {
		t.Errorf("found %+v, want %+v", got, want)
	}
	all := strings.Join(got.faults, "\n")
	if (fault == "") != (all == "") || !strings.Contains(all, fault) {
		t.Errorf("faults %q, want %q", all, fault)
	}
}

func always(uint32, int64) bool { return true }
func never(uint32, int64) bool  { return false }

func TestCheckerIsContentWithWhatIsRight(t *testing.T) {
	x := newTrial(0)
	x.receive(x.to, x.stamps[0], 1050)
	x.receive(x.to, x.stamps[1], 2050)
	x.want(t, nil, findings{delivered: 2}, "")
	if got := x.judge(0, 2, nil).latencies; got[0] != 1000 || got[1] != 2000 {
		t.Errorf("latencies %v, want them from when the messages were due", got)
	}
}

func TestCheckerFindsTheLost(t *testing.T) {
	x := newTrial(0)
	x.receive(x.to, x.stamps[0], 0)
	x.want(t, nil, findings{delivered: 1, lost: 1}, "message 1 from client 1 to client 2 is lost")
}

func TestCheckerFindsDuplicates(t *testing.T) {
	x := newTrial(0)
	x.receive(x.to, x.stamps[0], 0)
	x.receive(x.to, x.stamps[1], 0)
	x.receive(x.to, x.stamps[1], 0)
	x.want(t, nil, findings{delivered: 2, duplicated: 1}, "message 1 from client 1 twice")
}

func TestCheckerFindsTheMisordered(t *testing.T) {
	x := newTrial(0)
	x.receive(x.to, x.stamps[1], 0)
	x.receive(x.to, x.stamps[0], 0)
	x.want(t, nil, findings{delivered: 2, misordered: 1}, "message 0 from client 1 after message 1")
}

func TestCheckerFindsTheMisrouted(t *testing.T) {
	for name, spoil := range map[string]func(x *trial) (*inbox, stamp){
		"which was for client 2": func(x *trial) (*inbox, stamp) {
			return &inbox{client: 3, last: map[uint32]uint32{}}, x.stamps[1]
		},
		"which nobody sent": func(x *trial) (*inbox, stamp) { return x.to, stamp{seq: 99, from: 1, to: 2} },
		"message 1, which":  func(x *trial) (*inbox, stamp) { return x.to, stamp{seq: 1, from: 5, to: 2} },
	} {
		x := newTrial(0)
		x.receive(x.to, x.stamps[0], 0)
		x.receive(x.to, x.stamps[1], 0)
		in, s := spoil(x)
		x.receive(in, s, 0)
		x.want(t, nil, findings{delivered: 2, misrouted: 1}, name)
	}
}

// A session that comes back is another stream, to the receiver and from the sender.
func TestCheckerKnowsOneSessionFromAnother(t *testing.T) {
	x := newTrial(0)
	x.to.seen = map[uint32]bool{}
	later := &inbox{client: 2, last: map[uint32]uint32{}, seen: map[uint32]bool{}}
	x.receive(x.to, x.stamps[1], 0)
	x.receive(later, x.stamps[0], 0)
	x.receive(later, x.stamps[1], 0) // both of the client's sessions get it
	x.want(t, always, findings{delivered: 2}, "")
	x.receive(later, x.stamps[1], 0)
	x.want(t, always, findings{delivered: 2, duplicated: 1}, "twice")
}

func TestCheckerHoldsReceiptsToTheirWord(t *testing.T) {
	for _, test := range []struct {
		outcome  string // of message 1; empty: it is not answered
		received bool
		cut      bool // its sender's connection ended under it
		stayed   connected
		want     findings
		fault    string
	}{
		{"delivered", true, false, always, findings{delivered: 2}, ""},
		{"delivered", false, false, always, findings{delivered: 1, lost: 1}, "is lost, and its sender was told that it was delivered"},
		{"delivered", false, false, never, findings{delivered: 1}, ""},
		{"offline", false, false, always, findings{delivered: 1, lost: 1}, "offline, who was connected"},
		{"offline", false, false, never, findings{delivered: 1, offline: 1}, ""},
		{"offline", true, false, always, findings{delivered: 2, misanswered: 1}, "arrived, and its sender was told that nobody was there"},
		{"offline", true, false, never, findings{delivered: 2, offline: 1, misanswered: 1}, "arrived, and its sender was told that nobody was there"},
		{"overloaded", true, false, always, findings{delivered: 2, misanswered: 1}, "arrived, and its sender was told that it was refused"},
		{"overloaded", false, false, always, findings{delivered: 1}, ""},
		{"timeout", false, false, always, findings{delivered: 1}, ""},
		{"timeout", true, false, always, findings{delivered: 2}, ""},
		{"timeout", false, false, nil, findings{delivered: 1, lost: 1}, "message 1 from client 1 to client 2 is lost"},
		{"", true, false, always, findings{delivered: 2, misanswered: 1}, "was never answered"},
		{"", false, false, always, findings{delivered: 1, misanswered: 1}, "was never answered"},
		{"", true, false, nil, findings{delivered: 2, misanswered: 1}, "was never answered"},
		{"", false, false, never, findings{delivered: 1}, ""},
		{"", false, true, always, findings{delivered: 1}, ""},
		{"lost", true, false, always, findings{delivered: 2, misanswered: 1}, `has a receipt that says "lost"`},
	} {
		x := newTrial(wantsReceipt)
		x.receive(x.to, x.stamps[0], 0)
		x.answer(7, 0, "delivered", 0)
		if test.received {
			x.receive(x.to, x.stamps[1], 0)
		}
		if test.outcome != "" {
			x.answer(7, 1, test.outcome, 0)
		}
		if test.cut {
			x.cut(1)
		}
		x.want(t, test.stayed, test.want, test.fault)
	}
}

// A session that ended hears no receipt; the receiver, who stayed, changes nothing.
func TestCheckerExcusesSendersThatLeft(t *testing.T) {
	x := newTrial(wantsReceipt)
	x.answer(7, 0, "timeout", 0)
	onlyReceiver := func(client uint32, _ int64) bool { return client == 2 }
	x.want(t, onlyReceiver, findings{}, "")
	onlySender := func(client uint32, _ int64) bool { return client == 1 }
	x.want(t, onlySender, findings{misanswered: 1}, "message 1 from client 1 to client 2 was never answered")
}

func TestCheckerFindsWrongReceipts(t *testing.T) {
	x := newTrial(wantsReceipt)
	for i := range x.stamps {
		x.receive(x.to, x.stamps[i], 0)
		x.answer(7, uint32(i), "delivered", 0)
	}
	x.answer(7, 1, "delivered", 0)
	x.want(t, always, findings{delivered: 2, misanswered: 1}, "message 1 has a second receipt")
	x.answer(7, 77, "delivered", 0)
	x.want(t, always, findings{delivered: 2, misanswered: 2}, "message 77, which asked for none")
	x.answer(8, 0, "delivered", 0)
	x.want(t, always, findings{delivered: 2, misanswered: 3}, "the receipt of message 0, from client 1, came to another session")
}

func TestCheckerWantsToHearOfTheOffline(t *testing.T) {
	x := newTrial(wantsReceipt | toNobody)
	x.answer(7, 0, "offline", 0)
	x.answer(7, 1, "timeout", 0)
	x.want(t, nil, findings{offline: 1, misanswered: 1}, "was for nobody, and its sender was not told so")
}

// Where nobody can know who is connected, a message to nobody times out; it is not delivered.
func TestCheckerTakesTimeoutsOfTheUnsure(t *testing.T) {
	x := newTrial(wantsReceipt | toNobody)
	x.unsure = true
	x.answer(7, 0, "timeout", 0)
	x.answer(7, 1, "delivered", 0)
	x.want(t, nil, findings{misanswered: 1}, "message 1 from client 1 to client 2 was for nobody, and its sender was not told so")
}
