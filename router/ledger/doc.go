// Package ledger writes down what the clients of a cluster sent, were told and
// received, and judges afterwards whether the cluster kept its promises, in the
// style of Jepsen. It never looks into the cluster: what it knows is what clients
// saw, and which faults were injected when.
//
// # What is written down
//
// Every message has a payload of its own: the run, the message's number, who sends
// it to whom, its place among that pair's messages, the time. Of a message the
// ledger holds when and on which session it was sent, every receipt, and every
// reception. Of a session it holds when the client began to connect, when it was
// welcomed, when and how it ended. Connecting in vain counts as a session that was
// never welcomed, because its node may have taken it for one.
//
// # What is judged
//
// Kinds are in verdict.go, the rules in judge.go. A rule speaks of a violation only
// where nothing but the cluster can be to blame; what a fault explains is excused,
// and the excuses are counted too.
//
// It imports nothing of beeline. All methods may be called from many goroutines.
package ledger
