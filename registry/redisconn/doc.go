// Package redisconn holds a node's connections to Redis. It knows servers, connections,
// slots and scripts, and nothing of what a key means.
//
// # Clients
//
// Connect makes a go-redis client from a URL: one server, a master that Sentinels watch, or
// a Cluster. Its dialer finds out afresh for each connection where the server is: it asks
// the Sentinels, resolves the name, and tries the name's addresses side by side (RFC 8305).
// New puts a Client around it, which
//
//   - keeps account of all connections, and closes them together when they may lead to a
//     server that is not the master any more (connections.go, watch.go),
//   - notices when slots of a Cluster move (slots.go),
//   - runs groups of script calls in one pipeline, and loads the scripts where a server does
//     not know them (scripts.go),
//   - tells the log when Redis stops working for this node, why, which setting to look at,
//     and when it works again (outage.go, cause.go, refusals.go).
//
// # Connections of one's own
//
// Dial opens a connection that its caller speaks RESP on, where go-redis' way would cost
// too much. On Linux all connections make raw system calls (rawconn_linux.go): what
// can't block is not announced to the scheduler, whose monitor thread each announcement
// would wake in an idle process.
//
// # Goroutines
//
// A Client has none of its own: Watch and CheckSubscriberBuffer run in their callers'. All
// its methods are safe for concurrent use.
//
// It imports go-redis, and of beeline nothing.
package redisconn
