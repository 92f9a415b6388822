package registry

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

const (
	// maxField is the longest value of a node lease that is read, in bytes.
	maxField = 1 << 10
	// longestHeartbeat bounds what a lease may say of its node's heartbeat; see
	// BEELINE_HEARTBEAT.
	longestHeartbeat = time.Minute
)

// What vouch.lua says about a node.
const (
	leaseMissing    = 0
	leaseUnreadable = 1 // the key is there, and says nothing that a node says
	leaseSilent     = 2 // it does not vouch for the epoch
	leaseVouching   = 3
)

// leaseFields are the fields of a node lease, in the order in which leaseCall asks for them.
var leaseFields = []any{"url", "version", "started", "sessions", "draining",
	"since", "delivery", "duplicates", "heartbeat", "envelopes", "keys"}

// eachLease calls begin for some nodes at a time, and runs the calls that it returns: as
// many nodes share one as may.
func (r *Registry) eachLease(ctx context.Context, ids []string, begin func(keys []string) *redisconn.Call) ([][]string, []*redisconn.Call, error) {
	chunks := slices.Collect(slices.Chunk(ids, r.keysOfACall()))
	calls := make([]*redisconn.Call, len(chunks))
	for i, chunk := range chunks {
		keys := make([]string, len(chunk))
		for j, id := range chunk {
			keys[j] = r.keys.Node(id)
		}
		calls[i] = begin(keys)
	}
	if len(calls) == 0 {
		return nil, nil, nil
	}
	return chunks, calls, r.redis.Run(ctx, calls)
}

// vouchesOf asks which of nodes have a lease that vouches for an epoch ("master=ID"; empty:
// it asks only which have a lease).
func (r *Registry) vouchesOf(ctx context.Context, ids []string, epoch string) (map[string]int64, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	chunks, calls, err := r.eachLease(ctx, ids, func(keys []string) *redisconn.Call {
		return vouchScript.Call(keys, r.timing.NodeTTL().Milliseconds(), longestLease().Milliseconds(), epoch)
	})
	if err != nil {
		return nil, err
	}
	says := make(map[string]int64, len(ids))
	for i, chunk := range chunks {
		answers, err := calls[i].Cmd.Int64Slice()
		if err != nil {
			return nil, err
		}
		if len(answers) != len(chunk) {
			return nil, errMalformed
		}
		for j, id := range chunk {
			says[id] = answers[j]
		}
	}
	return says, nil
}

// longestLease is the life of a lease of a node with the longest heartbeat.
func longestLease() time.Duration { return Timing{Heartbeat: longestHeartbeat}.NodeTTL() }

// readLeases returns the leases of nodes, without those that have none.
func (r *Registry) readLeases(ctx context.Context, ids []string) ([]NodeInfo, error) {
	chunks, calls, err := r.eachLease(ctx, ids, func(keys []string) *redisconn.Call {
		args := append([]any{r.timing.NodeTTL().Milliseconds(), longestLease().Milliseconds(), maxField}, leaseFields...)
		return leaseScript.Call(keys, args...)
	})
	if err != nil {
		return nil, err
	}
	var nodes []NodeInfo
	for i, chunk := range chunks {
		answers, err := calls[i].Cmd.Slice()
		if err != nil {
			return nil, err
		}
		if len(answers) != len(chunk) {
			return nil, errMalformed
		}
		for j, id := range chunk {
			if fields, ok := answers[j].([]any); ok {
				nodes = append(nodes, parseNode(id, fields))
			}
		}
	}
	return nodes, nil
}

// parseNode reads a lease's fields. What is missing, or not as a node writes it, is zero.
func parseNode(id string, fields []any) NodeInfo {
	text := func(i int) string {
		if i >= len(fields) {
			return ""
		}
		s, _ := fields[i].(string)
		return s
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(text(i), 10, 64)
		return n
	}
	draining, _ := strconv.ParseBool(text(4))
	return NodeInfo{
		ID:       id,
		URL:      text(0),
		Version:  text(1),
		Started:  time.UnixMilli(number(2)),
		Sessions: int(number(3)),
		Draining: draining,
		Since:    time.UnixMilli(number(5)),
		Settings: Settings{
			Delivery:   text(6),
			Duplicates: Duplicates(text(7)),
			Heartbeat:  time.Duration(min(number(8), int64(longestLease()/time.Millisecond))) * time.Millisecond,
			Envelopes:  parseVersions(text(9)),
			Keys:       text(10),
		},
	}
}

// subscribes reports whether a node's private channel has a subscriber. Where Redis may not
// be asked, it is taken to have one.
func (r *Registry) subscribes(ctx context.Context, id string) (bool, error) {
	channel := r.keys.Channel(id)
	master, err := r.redis.MasterOf(ctx, channel)
	if err != nil {
		return false, err
	}
	ask := master.PubSubNumSub
	if r.redis.IsCluster() {
		ask = master.PubSubShardNumSub
	}
	counts, err := ask(ctx, channel).Result()
	if redis.HasErrorPrefix(err, "NOPERM") {
		return true, nil
	}
	return counts[channel] > 0, err
}
