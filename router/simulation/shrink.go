package simulation

import (
	"slices"
)

// Shrink looks for a smaller plan that breaks the same promise as p: with fewer faults and
// clients. It has at most so many histories happen, and returns the result of the last
// plan that did.
func Shrink(p Plan, tries int) *Result {
	best := Run(p, nil)
	if !best.Failed() {
		return best
	}
	smaller := func(p Plan) bool {
		if tries--; tries < 0 {
			return false
		}
		r := Run(p, nil)
		if !r.Failed() || r.Verdict.Violations[0].Kind != best.Verdict.Violations[0].Kind {
			return false
		}
		best = r
		return true
	}
	for i := len(best.Plan.Faults) - 1; i >= 0; i-- {
		p := best.Plan
		p.Faults = slices.Delete(slices.Clone(p.Faults), i, i+1)
		smaller(p)
	}
	for p := best.Plan; p.Clients > 2; p = best.Plan {
		p.Clients--
		p.Names = min(p.Names, p.Clients)
		if !smaller(p) {
			break
		}
	}
	if p := best.Plan; p.Confirm > 0 || p.Repeat > 0 {
		p.Confirm, p.Repeat = 0, 0
		smaller(p)
	}
	return best
}
