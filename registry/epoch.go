package registry

import (
	"fmt"
	"time"
)

// An epoch is an uninterrupted life of one Redis master's data. A new one begins when data
// may have been lost (scripts/epoch.lua), and until it is settled what is missing in Redis
// proves nothing. This file says what a node knows of one epoch. It is pure: no clock, no
// Redis and no lock.

// epochState says how far a new epoch has come, as one node knows it.
//
//	              lossTold          leasesVerified        peersVerified
//	epochDetected ───────► epochNotified ───────► epochVerified ───────► epochSettled
//	                                                    ▲                      │
//	                                                    └──────────────────────┘
//	                                                          overwritten
//
// From every state the master's next epoch leads to epochDetected again. The first epoch
// that a node without leases meets has taken nothing from it and begins in epochVerified.
type epochState uint8

const (
	// epochDetected: the master has answered with an ID that is new to this node. What the
	// node knew of other owners may be wrong, and Events.OnDataLost is being called.
	// lossTold leaves this state when the call has returned.
	epochDetected epochState = iota
	// epochNotified: the router distrusts what it knew. This node's leases may be missing
	// in Redis; the refresher refreshes all and claims again those that are missing.
	// leasesVerified leaves this state: a verification that began in it has succeeded.
	epochNotified
	// epochVerified: this node's leases are in Redis, and its node lease says so (it
	// vouches for the epoch). The leases of other nodes may still be missing.
	// peersVerified leaves this state, unless a key was overwritten in the epoch.
	epochVerified
	// epochSettled: all nodes have verified their leases, so an empty answer proves that
	// nobody owns the address, and a missing node lease that the node is dead.
	// overwritten leaves this state.
	epochSettled
)

var epochStateNames = [...]string{"detected", "notified", "verified", "settled"}

func (s epochState) String() string { return epochStateNames[s] }

// epochEvent is what moves an epoch from one state to another.
type epochEvent uint8

const (
	lossTold       epochEvent = iota // Events.OnDataLost has returned
	leasesVerified                   // all leases were verified; the verification began after lossTold
	peersVerified                    // every other node vouches for the epoch
	overwritten                      // somebody else has overwritten the key of an address
)

// epoch is what this node knows about a master's current epoch.
type epoch struct {
	id    string
	state epochState

	detectedAt time.Time // by this node
	answeredAt time.Time // the last time that the master answered with it
	settledAt  time.Time // in epochSettled only
	// afterLoss says that data may have been lost that this node, or the epoch before,
	// knew of: it follows an earlier epoch of the master, or this node had leases.
	afterLoss bool
	// afterOutage says that before it this node had no answer for so long that node leases
	// may have ended.
	afterOutage bool
	// peersReturned says that nodes had time to come back after the master's start, or the
	// outage, so that they can be counted.
	peersReturned bool
	peersReadAt   time.Time // the last look at the other nodes
	// overwritten keeps the epoch from settling: the next one is to begin, in which the
	// owners restore what was overwritten (overwritten.go).
	overwritten bool
}

// on takes an event and reports whether the epoch became settled, or ceased to be. An event
// that comes in another state than the one that it leaves changes nothing.
func (e *epoch) on(event epochEvent, now time.Time) (changed bool) {
	switch {
	case event == lossTold && e.state == epochDetected:
		e.state = epochNotified
	case event == leasesVerified && e.state == epochNotified:
		e.state = epochVerified
	case event == peersVerified && e.state == epochVerified && !e.overwritten:
		e.state, e.settledAt = epochSettled, now
		return true
	case event == overwritten:
		e.overwritten = true
		if e.state == epochSettled {
			e.state, e.settledAt = epochVerified, time.Time{}
			return true
		}
	}
	return false
}

// vouched reports whether this node says in its lease that it has verified the epoch.
func (e *epoch) vouched() bool { return e.state >= epochVerified }

// minUptime is how long a master must be up before its list of channels counts: nodes that
// started before it need a moment to connect.
const minUptime = time.Second

// awaitPeers takes how long the master is up at least, and reports whether all nodes that
// live had time to be counted: after the master's start, and after an outage that their
// leases may not have outlasted, when they need time to subscribe again. known is false if
// the master does not say how long it is up.
func (e *epoch) awaitPeers(t Timing, up time.Duration, known bool, now time.Time) bool {
	enough := minUptime
	if e.afterLoss {
		enough = max(enough, t.NodeTTL())
	}
	e.peersReturned = e.peersReturned ||
		(!known || up >= enough) && (!e.afterOutage || now.Sub(e.detectedAt) >= t.silence())
	return e.peersReturned
}

func (e *epoch) String() string {
	text := fmt.Sprintf("%s %v", e.id, e.state)
	for _, flag := range []struct {
		name string
		set  bool
	}{{"after a loss", e.afterLoss}, {"after an outage", e.afterOutage}, {"overwritten", e.overwritten}} {
		if flag.set {
			text += ", " + flag.name
		}
	}
	return text
}
