// Package bus is Redis as a bus between nodes: it publishes batches, hears batches, and knows
// whether it hears. What a batch means is the router's.
//
// # Publishing
//
// The bus is pull-based. Whoever has something to publish queues it where the Source finds
// it and calls Flush, without a lock. Flush asks the Source for batches while connections can
// take them, writes them, and gives the Source the results of earlier ones. So what gathers
// while Redis is slow leaves in fewer and larger batches, and the bus queues nothing.
//
// A connection that publishes (publishconn.go) belongs to the bus alone and is written by the
// goroutine that flushes, with a call that does not wait. On Linux it is taken out of
// the runtime's poller: a reply wakes nobody, and is read when the next batch is written, or
// by a timer. Elsewhere, and with TLS, a goroutine reads the replies, and the next write waits for
// them. A connection on which a reply is overdue is closed, and then every PUBLISH without
// a reply has the result ErrLost.
//
// One Redis (single.go) has one such connection; Sentinel is one Redis whose address changes.
// A Cluster (cluster.go) has one for each master that channels of peers are at. MOVED, or
// the end of a connection, has it ask anew where they are; meanwhile what is for them waits at
// the Source, and all else is published.
//
// # Hearing
//
// A Subscription (subscription.go) has a connection of its own and one goroutine, which calls
// the Listener. It has no deadline, which in the middle of a message would break the stream: a
// silent connection is found by probes, which the router publishes to itself.
//
// # Locks
//
// One goroutine at a time flushes, without holding a lock while it writes or calls the Source.
// publisher.mu guards what others need, for moments: that they want a flush, the PUBLISHes
// without a reply, the connections. It is never held while a Source or a Listener is called, so
// these may call the bus.
//
// Package bus may import package redisconn and go-redis.
package bus
