//go:build unix

package chaos

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/client"
	"github.com/beeline-ws/beeline/router/ledger"
)

const (
	// sabotageRate is how many frames there are for one that is tampered with.
	sabotageRate = 40
	// enoughDeeds is how often each promise is broken at least: some deeds harm
	// nobody, for instance if the session ended just then.
	enoughDeeds = 10
	// sabotageTime is what a saboteur gets for that after the last fault. He needs seconds,
	// and begins anew each time that the machine stood still.
	sabotageTime = 5 * time.Minute
)

// saboteur breaks promises on purpose, between the nodes and the people of a site.
type saboteur struct {
	kinds []ledger.Kind
	quiet <-chan struct{} // closed when he has done enough

	mu     sync.Mutex
	random *rand.Rand
	deeds  map[ledger.Kind]int // done so far, as far as they can't be excused
	calm   time.Time           // from when on they can't
	stolen []client.Frame      // for somebody else
}

// newSaboteur returns one that breaks the promises that kinds name until quiet is
// closed: the roll call after that would only take longer.
func newSaboteur(kinds []ledger.Kind, random *rand.Rand, quiet <-chan struct{}) *saboteur {
	return &saboteur{kinds: kinds, random: random, quiet: quiet, deeds: make(map[ledger.Kind]int)}
}

// excuse tells that what happened until then will be excused, whoever did it.
func (s *saboteur) excuse(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = until
	clear(s.deeds)
}

// wanting lists the kinds of which there are not enough deeds yet.
func (s *saboteur) wanting() (kinds []ledger.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range s.kinds {
		if s.deeds[kind] < enoughDeeds {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// Plantable lists the kinds of violations that a saboteur knows how to commit.
func Plantable() []ledger.Kind {
	return []ledger.Kind{
		ledger.Lost, ledger.Duplicated, ledger.Reordered, ledger.Misrouted, ledger.WronglyReceipted, ledger.Unanswered,
		ledger.Groundless, ledger.Expelled,
	}
}

func (s *saboteur) dial(ctx context.Context, url, name string) (wire, string, error) {
	w, id, err := dial(ctx, url, name)
	if err != nil {
		return nil, "", err
	}
	return &tapped{wire: w, saboteur: s}, id, nil
}

// tapped is a wire that a saboteur sits on. One goroutine reads.
type tapped struct {
	wire
	saboteur *saboteur
	next     []client.Frame // before what the wire has
	held     *client.Frame  // a message that waits for a later one to overtake it
}

// Next returns the next frame, as far as the saboteur lets it through.
func (t *tapped) Next() (client.Frame, error) {
	for {
		if len(t.next) > 0 {
			f := t.next[0]
			t.next = t.next[1:]
			return f, nil
		}
		f, err := t.wire.Next()
		if err != nil {
			return f, err
		}
		switch f.Type {
		case "message":
			t.message(f)
		case "receipt":
			if t.expelled() {
				return client.Frame{}, io.EOF
			}
			t.receipt(f)
		default:
			t.next = append(t.next, f)
		}
	}
}

func (t *tapped) message(f client.Frame) {
	s := t.saboteur
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.stolen); n > 0 && s.stolen[n-1].To != f.To {
		t.next = append(t.next, s.stolen[n-1])
		s.stolen = s.stolen[:n-1]
		s.did(ledger.Misrouted)
	}
	if t.held != nil && t.held.From == f.From {
		t.next = append(t.next, f, *t.held)
		t.held = nil
		s.did(ledger.Reordered)
		return
	}
	switch {
	case s.does(ledger.Lost):
	case s.does(ledger.Duplicated):
		t.next = append(t.next, f, f)
	case s.chance(ledger.Misrouted):
		s.stolen = append(s.stolen, f)
	case t.held == nil && s.chance(ledger.Reordered):
		t.held = &f
	default:
		t.next = append(t.next, f)
	}
}

func (t *tapped) expelled() bool {
	t.saboteur.mu.Lock()
	defer t.saboteur.mu.Unlock()
	return t.saboteur.does(ledger.Expelled)
}

func (t *tapped) receipt(f client.Frame) {
	s := t.saboteur
	s.mu.Lock()
	defer s.mu.Unlock()
	arrived := f.Outcome == "delivered" || f.Outcome == "confirmed"
	switch {
	case s.does(ledger.Unanswered):
		return
	case arrived && s.does(ledger.WronglyReceipted):
		f.Outcome = "offline"
	case arrived && s.does(ledger.Groundless):
		f.Outcome = "timeout"
	}
	t.next = append(t.next, f)
}

// does reports whether it is time to break a promise, and counts that as done. The
// caller holds mu.
func (s *saboteur) does(kind ledger.Kind) bool {
	if !s.chance(kind) {
		return false
	}
	s.did(kind)
	return true
}

// did counts a deed. The caller holds mu.
func (s *saboteur) did(kind ledger.Kind) {
	if time.Now().After(s.calm) {
		s.deeds[kind]++
	}
}

// chance reports whether it is time to break a promise. The caller holds mu.
func (s *saboteur) chance(kind ledger.Kind) bool {
	select {
	case <-s.quiet:
		return false
	default:
	}
	return slices.Contains(s.kinds, kind) && s.random.IntN(sabotageRate) == 0
}
