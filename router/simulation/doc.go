// Package simulation proves the router's core without Redis and without waiting: a whole
// cluster in one goroutine at a time, on a virtual clock, over a simulated bus and a
// simulated registry. It is for tests only.
//
// # A seed is a history
//
// All chance comes from one seed: the plan (how many nodes and clients, which rule for
// duplicates, which faults when: PlanOf), the network's delays, the order in which tasks run,
// what clients do. The same seed has the same history, to the byte. What clients sent,
// were told and received is written into a ledger, and judged by the rules that judge the
// chaos suite (package ledger). A violation tells its seed; Shrink looks for a plan with
// fewer faults and clients that still breaks the same promise, and Story tells what
// happened to the message concerned.
//
// # How it works
//
//   - world.go, coroutine.go, eventheap.go: events in a heap, and tasks as coroutines. One of
//     them runs until it blocks, then the seed chooses the next one that can go on; when none
//     can, time jumps to the next event. Every wait of the core is one of package task's, so
//     all of it is seen.
//   - runtime.go, context.go, clock.go: what a node takes for time and concurrency. Its wall
//     clock may jump, its monotonic clock does not.
//   - host.go, server.go, conn.go: a node's process, Redis servers, and the connections
//     between, which keep the order, break, stall, or swallow everything without a word.
//   - bus.go, subscription.go: router/bus's interface over those connections. Redis counts
//     the subscribers of the server where a PUBLISH comes in, those of its replicas it does
//     not, so after a failover the count may be wrong; it cuts a subscriber that lags. A bus
//     may also lose and double what is published, which Redis does not.
//   - registry.go, claims.go, refresh.go, beat.go, verify.go, nodes.go, dataset.go:
//     router.Registry with the contract that package registry documents: leases, epochs that
//     are settled once every node has verified its leases, data that are flushed, old, or behind.
//   - session.go, client.go: clients that connect, send, move, come back, and may have
//     several sessions.
//   - faults.go, plan.go, history.go: what is done to the cluster, when, and the calm at the end,
//     in which everybody must be reachable.
//
// What it can't show is what Redis, the kernel and the Go scheduler do: connections to real
// servers, scripts, data races. The tests of router, registry and node on a real Redis, and the
// chaos suite, are for that.
package simulation
