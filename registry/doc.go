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
//     owners in the same script. It removes no entry of theirs, under Replace neither:
//     an owner that is to go is told and releases its own, so whoever is welcomed has
//     an entry, also if the claim fails or its answer is lost. Claims that arrive
//     together travel together: 128 share a script call, which costs Redis half of
//     what 128 calls do.
//  2. The refresher extends each lease once an interval. The leases are spread
//     over the interval's ticks, so Redis never sees a burst.
//  3. A refresh that finds its entry missing, or an earlier one of its own, claims again (Redis restarted, was
//     flushed, failed over); one that finds it taken by another session reports
//     it, and the session is closed.
//  4. Release deletes the entry if, and only if, it still holds this lease's
//     token: a late release never erases a newer claim, also not this node's.
//
// # Epochs: an empty registry is not an absent client
//
// Redis can lose data: a flush, a restart without persistence, a failover to a
// replica that lagged behind, a stand-still during which leases expire. Then an
// empty answer does not mean that nobody owns the address, and "offline" would
// be a lie. So each Redis master holds an epoch: a random ID, the master's
// replication ID of that moment, and the time of the last call. If one is gone or
// differs, or the last call is too long ago, data may have been lost and a new
// epoch begins (scripts/epoch.lua). So it does where somebody else has overwritten an
// address's key (overwritten.go). What it can't see is single keys that somebody removes, or
// that Redis evicts: maxmemory-policy must be noeviction.
//
//  1. Every beat, every group of claims and every Settled reads the epoch. A
//     node that meets a new one tells Events.OnDataLost, refreshes all its leases
//     and claims again what is missing: it verifies, in batches with pauses that
//     leave Redis at least as much time as they take.
//  2. Then it says in its node lease that it vouches for the epoch.
//  3. An epoch is settled once every node vouches for it that subscribes to a
//     private channel, which survives a flush, or has a node lease, which
//     survives a failover. One that has neither, because it is about to subscribe
//     again, is waited for if others remember that its lease may live (lastSeen.go). A
//     master that was just started must be up for a second, after a restart for a
//     NodeTTL, so that nodes are back to be counted.
//     After an outage that node leases may not have outlasted, nodes get two heartbeats
//     to subscribe again: they try several times a second, or find within one heartbeat
//     and a half that a connection is dead. A subscriber is waited for. One that writes no node
//     lease for two NodeTTLs is dead.
//  4. Until then Settled is false and callers wait instead of saying "offline",
//     and a claim waits and is repeated, so a client is not welcomed beside
//     sessions that its node can't see. Nor is any node taken for dead.
//
// In a Cluster an address is vouched for by the master of its slot. When slots move,
// which redirected commands and changes of the client's map tell (redisconn), all
// masters have to, until all have been asked since and were settled: the slot may have
// gone to a master that lost its data, or come from one.
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
// The batcher sends claims and releases in groups, in the order in which they
// came, and tells the claims' callers itself; a claim that has to wait for an
// epoch or for the removal of dead owners has a goroutine meanwhile. The refresher
// refreshes, claims again (through the batcher, as releases do), verifies, and looks whether the peers have. They start in Start, and all
// are awaited in Stop. Callbacks (Events) come from the refresher, and OnDataLost from
// whoever meets a new epoch. Registry.mu guards the leases and the epochs; it is taken
// before the batcher's own and never held during a round trip or a callback.
//
// It imports go-redis, and of beeline packages metrics and redisconn, which has the
// connections to Redis. Every key
// and channel name comes from keys.go; every script is a file of its own in
// scripts/, with its contract at the head.
package registry
