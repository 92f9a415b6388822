package ledger

import (
	"fmt"
	"slices"
	"time"
)

// Recovery is what somebody found out who asked, on a node that went on, for a client of
// a node that was killed.
type Recovery struct {
	Asker  string // the node from which was asked
	Client string
	Killed time.Time
	Took   time.Duration // until the first truthful receipt, or until nobody asked any more
	Known  bool          // there was one
}

// Recovered notes how soon a killed node's client was answered for, to be judged.
func (l *Ledger) Recovered(r Recovery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recoveries = append(l.recoveries, r)
}

// recovery judges how soon a killed node's client was answered for. Whoever asks learns
// of the death at once: nobody hears the dead node's channel, and its address refuses
// connections. It takes longer where the asker's node or Redis could not be asked, and
// where the client seemed to be on another node, which did not say otherwise.
func (j *judge) recovery(r Recovery) {
	if r.Known && r.Took <= j.rules.Recovery {
		return
	}
	when := span{r.Killed, r.Killed.Add(r.Took)}
	if j.delayed(r, when) {
		j.verdict.Excused[Delayed]++
		return
	}
	what := fmt.Sprintf("asked from %s, %s was answered for only after %v", r.Asker, r.Client, r.Took)
	if !r.Known {
		what = fmt.Sprintf("asked from %s, %s was not answered for within %v", r.Asker, r.Client, r.Took)
	}
	j.blame(Violation{Kind: Late, At: when.to, What: what, client: r.Client})
}

// delayed reports whether a fault explains a late answer: one of Redis or of the asker's
// node; or one of a node on which the client had a session that the node, or the
// asker's, may still have believed in.
func (v *lives) delayed(r Recovery, when span) bool {
	felt := func(o *Outage) bool { return when.meets(v.felt(o)) }
	if slices.ContainsFunc(v.unsettled, when.meets) || slices.ContainsFunc(v.outages[r.Asker], felt) {
		return true
	}
	since := v.lastKnown(relation{r.Asker, r.Client}, when.from)
	return slices.ContainsFunc(v.byOwner[r.Client], func(s *Session) bool {
		return s.end != Refused && !s.began.After(when.to) && slices.ContainsFunc(v.outages[s.node], func(o *Outage) bool {
			return o.Kind != Killed && felt(o) && !v.end(s).Before(earlier(since, o.From.Add(-v.rules.Notice)))
		})
	})
}
