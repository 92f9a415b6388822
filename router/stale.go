package router

import "time"

// The baselines' messages travel on channels of all nodes and are numbered by nobody.
// Somebody who has recorded one could play it again. A node remembers the IDs of the
// last messages of each origin; what is older than those, or than a message lives, it
// does not take. Where nothing is signed the IDs prove nothing: there somebody could have
// made up a later one.

// clockSkew is by how much nodes' clocks may differ, as far as the baselines are
// concerned.
const clockSkew = 30 * time.Second

// stale reports whether an unnumbered message may have been taken before and be
// forgotten.
func (in *inbox) stale(a *arrival) bool {
	accepted := time.UnixMicro(a.accepted)
	life := in.r.opts.MessageTimeout + clockSkew
	return in.trusts && in.recent.passed(a.ID) || in.now.Sub(accepted) > life || accepted.Sub(in.now) > life
}
