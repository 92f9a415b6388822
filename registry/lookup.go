package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// MaxOwners is how many owners an address may have: as many as a cluster has nodes. A key
// with more entries can't be beeline's.
const MaxOwners = maxNodes

// Lookup is an address's owners, on their way in a pipeline.
type Lookup struct {
	address string
	cmd     *redis.Cmd
}

// QueueLookup adds the lookup of address to pipe. It is one command. Once pipe was
// executed, CheckLookups is to be called.
func (r *Registry) QueueLookup(pipe redis.Pipeliner, address string) Lookup {
	c := r.lookupCall(address)
	cmd := c.NewCmd(context.Background())
	_ = pipe.Process(context.Background(), cmd)
	return Lookup{address, cmd}
}

func (r *Registry) lookupCall(address string) *redisconn.Call {
	return lookupScript.Call([]string{r.keys.Address(address)}, MaxOwners)
}

// LookupScript returns the name by which Redis knows the script of a lookup (EVALSHA), whose
// only key is the address's.
func LookupScript() string { return lookupScript.SHA() }

// CheckLookups takes lookups whose pipeline was executed, and acts on what kept Redis from
// naming an address's owners: it loads the script, or has a key removed that is not
// beeline's. The lookups' own errors stay: they are to be made again.
func (r *Registry) CheckLookups(ctx context.Context, lookups []Lookup) {
	if slices.ContainsFunc(lookups, func(l Lookup) bool { return redisconn.IsUnknownScript(l.cmd.Err()) }) {
		if err := r.redis.Load(ctx); err != nil {
			r.log.Debug("scripts could not be loaded", "error", err)
		}
	}
	for _, l := range lookups {
		if what := l.external(); what != "" {
			r.foundOverwritten(l.address, what)
		}
	}
}

// external says what was found in the place of the address's hash; empty: nothing wrong.
func (l Lookup) external() string {
	if reply, err := l.cmd.Slice(); err == nil && len(reply) == 1 {
		what, _ := reply[0].(string)
		return what
	}
	return ""
}

// Owners returns what the lookup found once its pipeline was executed, in the
// order of node IDs: at most MaxOwners. Dead nodes' entries may be among them. An empty
// answer proves that nobody owns the address only if Settled says so afterwards. The
// error is ErrUnsettled if Redis answered, but not with owners: something else stands
// in the place of the address's key, or the server was just started; that is mended
// soon, and the lookup is to be made again.
func (l Lookup) Owners() ([]Owner, error) {
	reply, err := l.cmd.Slice()
	switch {
	case redisconn.IsUnknownScript(err):
		return nil, fmt.Errorf("look up owners: %w: %w", ErrUnsettled, err)
	case err != nil:
		return nil, fmt.Errorf("look up owners: %w", err)
	case len(reply) == 0:
		return nil, nil
	}
	if what := l.external(); what != "" {
		return nil, fmt.Errorf("look up owners of %s: %w: its key is %s", quoted(l.address), ErrUnsettled, quoted(what))
	}
	owners, err := readOwners(make([]Owner, 0, len(reply)/2), reply)
	if err != nil {
		return nil, fmt.Errorf("look up owners: %w", err)
	}
	slices.SortFunc(owners, func(a, b Owner) int { return strings.Compare(a.NodeID, b.NodeID) })
	return owners, nil
}

// readOwners appends the owners in a script's answer: nodeID, token, nodeID, token, ...
func readOwners(owners []Owner, fields []any) ([]Owner, error) {
	if len(fields)%2 != 0 {
		return nil, errMalformed
	}
	for ; len(fields) > 0; fields = fields[2:] {
		id, ok1 := fields[0].(string)
		token, ok2 := fields[1].(string)
		if !ok1 || !ok2 {
			return nil, errMalformed
		}
		owners = append(owners, Owner{NodeID: id, Token: token})
	}
	return owners, nil
}

// Answer is what a lookup found: see Lookup.Owners.
type Answer struct {
	Owners []Owner
	Err    error
}

// LookupAll looks addresses up in one round trip, and returns their owners in the order of
// addresses. Each has an error of its own.
func (r *Registry) LookupAll(ctx context.Context, addresses []string) []Answer {
	began := time.Now()
	pipe := r.rdb.Pipeline()
	lookups := make([]Lookup, len(addresses))
	for i, address := range addresses {
		lookups[i] = r.QueueLookup(pipe, address)
	}
	_, err := pipe.Exec(ctx)
	r.ObserveLookups(began, err)
	if err != nil {
		r.log.Debug("lookups failed", "error", err)
	}
	r.CheckLookups(ctx, lookups)
	answers := make([]Answer, len(lookups))
	for i, l := range lookups {
		answers[i].Owners, answers[i].Err = l.Owners()
	}
	return answers
}

// Lookup returns the owners of address, as Lookup.Owners does.
func (r *Registry) Lookup(ctx context.Context, address string) ([]Owner, error) {
	c := r.lookupCall(address)
	_ = r.timed("lookup", func() error { return r.redis.Run(ctx, []*redisconn.Call{c}) })
	l := Lookup{address, c.Cmd}
	r.CheckLookups(ctx, []Lookup{l})
	return l.Owners()
}
