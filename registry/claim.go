package registry

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// The verdicts of claim.lua.
const (
	refused    = 0 // others own the address
	written    = 1
	superseded = 2 // a newer claim of this node owns the address
)

// claim is one run of claim.lua.
type claim struct {
	ctx     context.Context
	address string
	token   string
	rule    Duplicates
	kind    string // new or again

	// Set before done is closed.
	done    chan struct{}
	err     error
	verdict int
	others  []Owner
	master  string // the tag of the address's master
	epoch   string // in which the claim ran
}

// wait returns when the claim has run or ctx ends.
func (cl *claim) wait(ctx context.Context) error {
	select {
	case <-cl.done:
		return cl.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// claimCall is the script call of a claim.
func (r *Registry) claimCall(cl *claim) *call {
	return newCall(claimScript, []string{r.keys.Address(cl.address)},
		r.opts.NodeID, cl.token, r.timing.LeaseTTL().Milliseconds(), string(cl.rule), cl.kind)
}

// read takes over the answer of claim.lua.
func (cl *claim) read(cmd *redis.Cmd) error {
	reply, err := cmd.Slice()
	if err != nil {
		return err
	}
	if len(reply)%2 == 0 {
		return errMalformed
	}
	verdict, ok := reply[0].(int64)
	if !ok {
		return errMalformed
	}
	cl.verdict = int(verdict)
	for i := 1; i < len(reply); i += 2 {
		id, ok1 := reply[i].(string)
		token, ok2 := reply[i+1].(string)
		if !ok1 || !ok2 {
			return errMalformed
		}
		cl.others = append(cl.others, Owner{NodeID: id, Token: token})
	}
	return nil
}

// answer ends claims that could not be sent.
func answer(claims []*claim, err error) {
	for _, cl := range claims {
		cl.err = err
		close(cl.done)
	}
}
