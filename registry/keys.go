package registry

import "strings"

// Keys names every key and channel in Redis. The braces are Redis Cluster's
// hash tags: what a script touches lies in one slot.
type Keys struct{ prefix string }

// Address is the hash of an address's owners: nodeID -> token.
func (k Keys) Address(address string) string {
	var b strings.Builder
	b.Grow(len(k.prefix) + len(address) + len(":addr:{}"))
	k.writeAddress(&b, address)
	return b.String()
}

func (k Keys) writeAddress(b *strings.Builder, address string) {
	b.WriteString(k.prefix)
	b.WriteString(":addr:{")
	b.WriteString(address)
	b.WriteByte('}')
}

// Node is the hash that holds a node's lease.
func (k Keys) Node(nodeID string) string { return k.prefix + ":node:{" + nodeID + "}" }

// Nodes is the sorted set of node IDs by time of their last heartbeat.
func (k Keys) Nodes() string { return k.prefix + ":nodes" }

// Epoch is the hash that marks an uninterrupted life of a Redis master's data.
// tag picks the master in a Cluster.
func (k Keys) Epoch(tag string) string { return k.prefix + ":epoch:{" + tag + "}" }

// Channel is the private channel of a node.
func (k Keys) Channel(nodeID string) string { return k.prefix + ":ch:" + nodeID }

// Broadcast is the channel that every node hears under the broadcast delivery.
func (k Keys) Broadcast() string { return k.prefix + ":all" }

// Client is the channel of one address under the subscribe delivery.
func (k Keys) Client(address string) string { return k.prefix + ":client:" + address }

// channels is the pattern that every private channel's name matches.
func (k Keys) channels() string { return globEscaper.Replace(k.prefix) + ":ch:*" }

// nodeOf returns whose private channel the channel is.
func (k Keys) nodeOf(channel string) string { return strings.TrimPrefix(channel, k.Channel("")) }

// globEscaper takes the meaning from what Redis patterns give one to.
var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
