// Package redisproc runs Redis servers as child processes of this program, on
// 127.0.0.1, for tests, benchmarks and the chaos suite. It has one recipe for each of:
//
//   - a server: Start, StartTLS, Restart, Snapshot and RestartFrom, FailSaves
//   - a replica: StartReplica, Follow, Promote
//   - a Sentinel with a master and a replica: StartSentinel, Failover, KillMaster
//   - a Redis Cluster: StartCluster, AddReplica, Failover, KillMaster, Migrate
//   - a network in between that fails: StartProxy, Cut, Stall, BlackHole
//
// Functions return errors and know nothing of package testing; package redistest
// wraps them for tests. A ctx bounds a call and not the life of what the call starts.
// Every wait for a server ends after three minutes at the latest, which only a failure
// reaches, also on a machine that stands still now and then.
//
// Servers listen on free ports, keep nothing on disk and log into the directory that
// the caller names. They end with this program: see package child.
package redisproc
