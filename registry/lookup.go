package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// MaxOwners is how many owners an address may have: as many as a cluster has nodes. A key
// with more entries can't be beeline's.
const MaxOwners = maxNodes

// LookupScript returns the name by which Redis knows the script of a lookup (EVALSHA), whose
// only key is the address's.
func LookupScript() string { return lookupScript.SHA() }

// Answer is what a lookup found.
type Answer struct {
	// Owners are in the order of node IDs, MaxOwners at most. Dead nodes' entries may be
	// among them. That there are none proves that nobody owns the address only if
	// ConfirmAbsent says so afterwards.
	Owners []Owner
	// Err is ErrUnsettled if Redis answered, but not with owners: something else stands in
	// the place of the address's key, or the server was just started. That is mended soon,
	// and the lookup is to be made again.
	Err error
}

// LookupAll looks addresses up in one round trip, and returns the answers in their order.
// A key that is none of beeline's is going to be removed; see overwritten.go.
func (r *Registry) LookupAll(ctx context.Context, addresses []string) []Answer {
	var c calls
	c.reserve(len(addresses), 1, 1)
	for _, address := range addresses {
		c.begin(lookupScript, 1, 1)
		c.key(r.keys, address)
		c.value(MaxOwners)
	}
	if err := r.timed("lookup", func() error { return r.redis.Run(ctx, c.list) }); err != nil {
		r.log.Debug("lookups failed", "error", err)
	}
	answers := make([]Answer, len(addresses))
	for i, address := range addresses {
		owners, what, err := parseOwners(c.list[i].Cmd)
		switch {
		case err != nil:
			err = fmt.Errorf("look up owners: %w", err)
		case what != "":
			r.foundOverwritten(address, what)
			err = fmt.Errorf("look up owners of %s: %w: its key is %s", quoted(address), ErrUnsettled, quoted(what))
		}
		answers[i] = Answer{owners, err}
	}
	return answers
}

// Lookup returns the owners of address, as LookupAll does.
func (r *Registry) Lookup(ctx context.Context, address string) ([]Owner, error) {
	answer := r.LookupAll(ctx, []string{address})[0]
	return answer.Owners, answer.Err
}

// parseOwners reads what lookup.lua answered: the owners, or what was found in the place of
// the address's hash.
func parseOwners(cmd *redis.Cmd) (owners []Owner, what string, err error) {
	reply, err := cmd.Slice()
	switch {
	case redisconn.IsUnknownScript(err): // also once it was loaded, perhaps on another server
		return nil, "", fmt.Errorf("%w: %w", ErrUnsettled, err)
	case err != nil || len(reply) == 0:
		return nil, "", err
	case len(reply) == 1:
		what, _ = reply[0].(string)
		if what == "" {
			err = errMalformed
		}
		return nil, what, err
	}
	if owners, err = readOwners(make([]Owner, 0, len(reply)/2), reply); err != nil {
		return nil, "", err
	}
	slices.SortFunc(owners, func(a, b Owner) int { return strings.Compare(a.NodeID, b.NodeID) })
	return owners, "", nil
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
