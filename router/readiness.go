package router

import (
	"errors"

	"github.com/beeline-ws/beeline/router/bus"
)

// Cause names a reason why this router's node can't welcome a newcomer now. It is a
// label of beeline_unready.
type Cause string

// The causes that a router knows.
const (
	CauseUnsubscribed   Cause = "unsubscribed"    // the node does not hear its private channel
	CauseLeaseExpired   Cause = "lease_expired"   // Redis did not take the last heartbeats
	CausePublishBlocked Cause = "publish_blocked" // nothing can be published
	CauseUnsettled      Cause = "unsettled"       // Redis lost data, and not every node has verified its leases
	CauseURLTaken       Cause = "url_taken"       // another node answers at this one's URL
	CauseRegistry       Cause = "registry_fails"  // Redis did not take the last claim or heartbeat
	CauseSettings       Cause = "settings_differ" // a node that was there before has another delivery, heartbeat, ...
)

// Causes returns every cause that Hindrances may name.
func Causes() []Cause {
	return []Cause{CauseUnsubscribed, CauseLeaseExpired, CausePublishBlocked, CauseUnsettled, CauseRegistry, CauseSettings, CauseURLTaken}
}

// Hindrance says why a newcomer would not be welcomed now.
type Hindrance struct {
	Cause Cause
	Err   error // in words
}

var errUnsettled = errors.New("Redis has lost data and not every node has verified its leases yet")

// Hindrances returns every reason why a newcomer would not be welcomed now; none: it
// would be. A newcomer waits for what ends soon (CauseUnsettled) until its deadline; what
// Redis did not take (CauseRegistry) it may take from the next; for the others it is
// refused at once.
func (r *Router) Hindrances() []Hindrance {
	found := r.refusals()
	if err := r.reg.Trouble(); err != nil {
		found = append(found, Hindrance{CauseRegistry, err})
	}
	if !r.reg.AllSettled() {
		found = append(found, Hindrance{CauseUnsettled, errUnsettled})
	}
	return found
}

// refusals returns every reason to refuse a newcomer at once. It allocates nothing
// while there is none.
func (r *Router) refusals() (found []Hindrance) {
	if !r.isSubscribed.Load() {
		found = append(found, Hindrance{CauseUnsubscribed, errUnsubscribed})
	}
	if taken := r.namesake.Load(); taken != nil {
		found = append(found, Hindrance{CauseURLTaken, taken})
	}
	if !r.leaseLives() {
		found = append(found, Hindrance{CauseLeaseExpired, errLeaseExpired})
	}
	if r.bus.Blocked() > bus.ReplyTimeout { // more than a connection made anew
		found = append(found, Hindrance{CausePublishBlocked, errPublishBlocked})
	}
	if err := r.reg.Disagreement(); err != nil {
		found = append(found, Hindrance{CauseSettings, err})
	}
	return found
}
