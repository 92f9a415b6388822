package registry

import (
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Keys names every key and channel in Redis. The braces are Redis Cluster's
// hash tags: what a script touches lies in one slot.
type Keys struct {
	prefix   string
	channels string // begins every channel: Redis has keys for each database, but channels for all in common
}

// NewKeys returns the names that begin with prefix, for the database that client
// uses: in another one than 0, "db<n>:" follows the prefix in channels' names.
func NewKeys(prefix string, client redis.UniversalClient) Keys {
	k := Keys{prefix: prefix, channels: prefix}
	if single, ok := client.(*redis.Client); ok { // a Cluster has no other database than 0
		if db := single.Options().DB; db != 0 {
			k.channels += ":db" + strconv.Itoa(db)
		}
	}
	return k
}

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
func (k Keys) Channel(nodeID string) string { return k.channels + ":ch:" + nodeID }

// Broadcast is the channel that every node hears under the broadcast delivery.
func (k Keys) Broadcast() string { return k.channels + ":all" }

// Client is the channel of one address under the subscribe delivery.
func (k Keys) Client(address string) string { return k.channels + ":client:" + address }

// Inlet is the channel on which a node takes messages of external publishers.
func (k Keys) Inlet(nodeID string) string { return k.channels + ":in:" + nodeID }

// Reply is the channel on which an external publisher gets receipts under the name
// that it gave.
func (k Keys) Reply(name string) string { return k.channels + ":reply:" + name }

// privateChannels is the pattern that every private channel's name matches.
func (k Keys) privateChannels() string { return globEscaper.Replace(k.channels) + ":ch:*" }

// globEscaper takes the meaning from what Redis patterns give one to.
var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
