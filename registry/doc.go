// Package registry knows which nodes own an address. It keeps that in Redis,
// as leases that live while their owner refreshes them.
//
// # Two leases
//
// An entry counts while its key lives and its node lives. The entry's own TTL
// is long and cheap: it collects rubbish. The node's lease is one short-lived
// key a node: it detects failure. Both TTLs follow from the heartbeat interval
// (see Timing). A node that can't hear its private channel must not refresh its
// node lease, so Beat is called by the router, after it heard its own probe.
//
// # A lease's life
//
//  1. Claim writes nodeID -> token into the address's hash and learns the other
//     owners in the same script. Claims that arrive together travel together.
//  2. The refresher extends each lease once an interval. The leases are spread
//     over the interval's ticks, so Redis never sees a burst.
//  3. A refresh that finds its entry missing claims again (Redis restarted, was
//     flushed, failed over); one that finds it taken by another session reports
//     it, and the session is closed.
//  4. Release deletes the entry if, and only if, it still holds this lease's
//     token: a late release never erases a newer claim, also not this node's.
//
// # Epochs: an empty registry is not an absent client
//
// Redis can lose data: a flush, a restart without persistence, a failover to a
// replica that lagged behind. Then an empty answer does not mean that nobody
// owns the address, and "offline" would be a lie. So each Redis master holds an
// epoch: a random ID written once, and the master's replication ID of that
// moment. If either is gone or differs, data may have been lost and a new epoch
// begins. A node that meets a new epoch verifies all its leases, then publishes
// in its node lease that it has done so. An epoch is settled once every node
// that has a subscribed private channel says so; Redis' own list of channels is
// the witness that survives a flush. Until then Settled is false and callers
// wait instead of saying "offline" or welcoming a client whose other sessions
// they can't see.
//
// # Goroutines
//
// The committer sends claims and releases in groups. The refresher refreshes,
// claims again, and verifies after a new epoch. Both start in Start and are
// awaited in Stop. Callbacks (Events) come from these goroutines.
//
// It imports go-redis and package metrics, nothing else of beeline. Every key
// and channel name comes from keys.go; every script is a file of its own in
// scripts/, with its contract at the head.
package registry
