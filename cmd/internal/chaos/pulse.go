//go:build unix

package chaos

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

const (
	pulseEvery = 20 * time.Millisecond
	// pulseLate is by how much a pulse may be late until the machine counts as having
	// stood still: then nothing can be asked of any node.
	pulseLate = 500 * time.Millisecond
)

// pulse watches whether this program gets to run at all, until ctx ends, and notes
// outages of all nodes when it does not: others on the machine do not either then. It
// returns for how long that was in all.
func pulse(ctx context.Context, sites []*site) (still time.Duration) {
	for last := time.Now(); sleep(ctx, pulseEvery); {
		now := time.Now()
		if late := now.Sub(last) - pulseEvery; late > pulseLate {
			still += late
			for _, s := range sites {
				for _, p := range s.nodes {
					s.ledger.Outage(p.name, ledger.Stopped, last)(now)
				}
				if s.saboteur != nil {
					s.saboteur.excuse(now.Add(s.opts.Rules.Return))
				}
				s.event(now, "the machine stood still for %v", late.Round(time.Millisecond))
			}
		}
		last = now
	}
	return still
}
