// Package bench drives clusters of nodes with load and measures what a message
// costs, arm by arm: targeted delivery against the two baselines.
//
// # One point
//
//  1. A target starts nodes of the point's arm as processes of their own, on a Redis
//     that all points share under a key prefix of each's own; or it is a cluster that
//     runs already.
//  2. A fleet connects the clients. A goroutine for each connection reads; one paces
//     the messages of all. Every payload carries its sender, receiver, number, and the
//     time at which it was due.
//  3. The load runs unmeasured for a moment, until nodes know the owners of the
//     clients, and ends: nothing is under way. Processor time, Redis' counters and the
//     nodes' metrics are read. The load runs measured and ends, and all is read again:
//     so the differences belong to exactly these messages.
//  4. When all connections are closed, the checker judges: what was lost, duplicated,
//     misordered or misrouted is a fault, and so is a receipt that did not come, or that
//     says what is not so. A fault fails the run.
//
// The generator shares the machine with what it measures. It measures itself, too,
// and marks points at which it was late or had no processor left.
//
// A node never imports this package. It imports cluster, for processes, and report,
// whose data it fills.
package bench
