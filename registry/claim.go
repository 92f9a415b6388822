package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// The verdicts of claim.lua.
const (
	refused    = 0 // others own the address
	written    = 1
	superseded = 2 // a newer claim of this node owns the address
	replaced   = 3 // written, in the place of a key that was not beeline's
	external   = 4 // the key is not beeline's; see overwritten.go
)

// claim is a claim on its way. One goroutine at a time works on it: the batcher's while
// it is queued and sent, then the one that deals with the answer.
type claim struct {
	// Static once it is queued.
	lease    *Lease
	address  string
	number   uint64 // the token
	rule     Duplicates
	again    bool                    // restores an entry
	deadline time.Time               // it is not sent after; zero: none
	answered func(*Registry, *claim) // called by the batcher; must not block
	claimed  func([]Owner, error)    // of ClaimAsync

	// The answer.
	err       error
	verdict   int
	others    []Owner
	master    string // the tag of the address's master
	epoch     string // in which the claim ran
	complete  bool   // that was settled before the claim was sent: others are all
	wrote     bool   // some run of it did, or may have done
	was       string // what the key was, if not beeline's
	unsettled bool   // it met an epoch that was not settled
}

// sameKind reports whether one call can make both claims.
func (cl *claim) sameKind(other *claim) bool { return cl.rule == other.rule && cl.again == other.again }

// kind is what claim.lua calls it.
func (cl *claim) kind() string {
	if cl.again {
		return "again"
	}
	return "new"
}

// failure says why the claim failed.
func (cl *claim) failure(err error) error {
	ended := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if ended && cl.unsettled && !errors.Is(err, ErrUnsettled) {
		err = fmt.Errorf("%w: %w", ErrUnsettled, err)
	}
	return fmt.Errorf("claim %q: %w", cl.address, err)
}

// readClaims takes over what claim.lua answered about claims.
func readClaims(claims []*claim, cmd *redis.Cmd) error {
	reply, err := cmd.Slice()
	if err != nil {
		return err
	}
	for _, cl := range claims {
		cl.verdict, cl.others, cl.was = written, nil, ""
	}
	for _, exception := range reply {
		if err := readException(claims, exception); err != nil {
			return err
		}
	}
	return nil
}

func readException(claims []*claim, exception any) (err error) {
	fields, ok := exception.([]any)
	if !ok || len(fields) < 2 {
		return errMalformed
	}
	i, ok1 := fields[0].(int64)
	verdict, ok2 := fields[1].(int64)
	if !ok1 || !ok2 || i < 1 || int(i) > len(claims) {
		return errMalformed
	}
	cl := claims[i-1]
	cl.verdict = int(verdict)
	if cl.verdict != replaced && cl.verdict != external {
		cl.others, err = readOwners(cl.others, fields[2:])
		return err
	}
	if len(fields) != 3 {
		return errMalformed
	}
	if cl.was, ok = fields[2].(string); !ok {
		return errMalformed
	}
	if cl.verdict == replaced {
		cl.verdict = written
	}
	return nil
}
