// Package redistest starts real Redis servers for tests, by the recipes of package
// redisproc: what fails there fails the test here, and what a test starts ends with it.
//
// Start gives a test a key prefix of its own on one server that all tests of
// the process share: it is fast, it may run in parallel, and the server is up
// long enough for an epoch to settle at once. StartOwn gives a test a server of
// its own, for tests that flush, restart, stop, count or reconfigure.
// StartCluster and StartOwnCluster do the same with three masters; StartSentinel
// starts a master, a replica and a Sentinel. A Cluster of one's own can be given
// replicas and have its slots moved. StartProxy puts a network in between that can hold
// connections back, StartName a host name that leads to one server or another.
//
// A TestMain runs the tests by way of Main, which ends the shared servers. Without a
// redis-server on the machine tests are skipped, or fail where CI=true.
package redistest
