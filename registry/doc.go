// Package registry knows which nodes own an address. It keeps that in Redis,
// as leases that live while their owner refreshes them.
//
// # Two leases
//
// An owner's entry counts while its key lives and its node lives. The key's own TTL is
// long and cheap: it only removes what was left behind. The node's lease is one
// short-lived key for each node: it detects failure. Both TTLs follow from the heartbeat
// interval (see Timing). A node that can't hear its private channel must not refresh its
// node lease, so the router calls Beat after it heard its own probe.
//
// # The life of a lease
//
//  1. ClaimAsync writes nodeID -> token into the address's hash and learns the other
//     owners in the same script. It removes no entry of theirs, not even under Replace: the
//     router tells an owner that is to go, and that owner releases its own entry. So every
//     welcomed session has an entry, also if the claim fails or its answer is lost.
//     Claims that arrive together travel together (claimbatcher.go): 128 share a script
//     call, which costs Redis half of what 128 calls do.
//  2. The refresher extends each lease once an interval. The leases are spread over the
//     interval's ticks, so Redis never sees a burst (wheel.go).
//  3. A refresh that finds the entry missing, or one of an earlier claim of this node,
//     claims again with the same token, and tells Events.OnRestored (reclaim.go). A
//     refresh that finds the entry of a later claim tells Events.OnEvicted.
//  4. Release deletes the entry if, and only if, it still holds this lease's token: a
//     late release never erases a newer claim, also not one of this node.
//
// # Epochs: an empty registry is not an absent client
//
// Redis can lose data: a flush, a restart without persistence, a failover to a replica
// that lagged behind, a stand-still during which leases expire. Then an empty answer does
// not mean that the address has no owner, and "offline" would be a lie. So each Redis
// master holds an epoch: a random ID, the master's replication ID of that moment, and the
// time of the last call. If the epoch is gone, the replication ID differs, or the last
// call is too long ago, data may have been lost and a new epoch begins
// (scripts/epoch.lua). A new one also begins after somebody else has overwritten an address's key
// (overwritten.go). What an epoch can't show is single keys that somebody removes, or
// that Redis evicts: maxmemory-policy must be noeviction.
//
// Each node takes each new epoch through four states (epoch.go):
//
//   - Detected. Every beat, every batch of claims and every question whether an address is
//     absent reads the epoch. A node that reads a new ID tells Events.OnDataLost.
//   - Notified. The refresher refreshes all leases and claims again those that are missing,
//     in batches with pauses that leave Redis at least as much time as they take.
//   - Verified. The node's lease says that the node vouches for the epoch.
//   - Settled. All nodes vouch for it.
//
// Until an epoch is settled AllSettled and ConfirmAbsent return false, and callers wait
// instead of saying "offline". A claim waits and is made again, so that no client is
// welcomed beside sessions that its node can't see. And no node is taken for dead.
//
// All nodes are (countpeers.go)
//
//   - those that subscribe to a private channel, which survives a flush; one that writes no
//     node lease for two NodeTTLs is dead,
//   - those that have a node lease, which survives a failover,
//   - and those that this node saw beat within the life of a node lease (lastseen.go): they
//     may be about to subscribe again, and known to Redis no more.
//
// They are counted only when they had time to come back. A master must be up for a second,
// after a loss for a NodeTTL. After an outage that node leases may not have outlasted, nodes
// get two heartbeats to subscribe again: they try several times a second, or find within
// one heartbeat and a half that a connection is dead.
//
// In a Cluster the master of an address's slot vouches for the address. When slots move,
// which redirected commands and changes of the client's map show (redisconn), all masters
// have to, until all were read afterwards and were settled: the slot may have gone to
// a master that lost its data, or come from one.
//
// # What others write
//
// Nothing that comes from Redis is taken for beeline's unless it looks like it, and of
// everything a bounded part is read: MaxOwners owners of an address, as many nodes of the
// list and subscribers, and no long field of a lease. The scripts see to that, so that
// it never reaches a node. Their common part is scripts/common.lua.
//
// # Settings that must agree
//
// A node lease says with which settings its node works (Settings). A node that differs
// from one that was there before says so in Disagreement, and its router welcomes nobody
// (agreement.go).
//
// # Goroutines
//
// Start begins four: the claim batcher sends claims and releases in groups, in the order in
// which they came, and calls back the claims' callers itself; the refresher refreshes,
// claims again (through the batcher, as releases do), verifies, and looks whether the other
// nodes have verified; one logs what is settled; and one watches where Redis is
// (redisconn). A fifth looks once at Redis' limit for subscribers, if there is one to look
// for. A claim that has to wait for an epoch, or for the removal of dead owners, has a
// goroutine meanwhile. All are awaited in Stop.
//
// The refresher calls Events; OnDataLost is also called by any caller that reads a new
// epoch, and OnLeaseLost by Beat's. Registry.mu guards the leases and the epochs; it is taken
// before the batcher's own lock, and never held during a round trip or a callback.
// Registry.beats guards what Beat remembers, and is held with no other lock.
//
// The package imports go-redis, and of beeline packages metrics and redisconn, which has
// the connections to Redis. Every key and channel name comes from keys.go; every script is
// a file of its own in scripts/, with its contract at the head.
package registry
