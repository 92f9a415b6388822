package simulation

import (
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"
)

// world is virtual time and what happens in it. One goroutine at a time runs: the one that
// has called run, or a task that it has resumed. A task is a coroutine, which runs until
// it blocks; of those that can go on the seed chooses the next.
type world struct {
	now    time.Duration // since the start
	chance *rand.Rand

	events   eventHeap
	sequence uint64

	runnable []*coroutine
	current  *coroutine // nil while an event happens
	idle     []*coroutine
	all      []*coroutine

	// history is a hash of all that was recorded, and log what reads it.
	history uint64
	log     io.Writer // nil: nobody
	steps   int       // events and tasks' turns
}

func newWorld(seed uint64) *world {
	return &world{chance: rand.New(rand.NewPCG(seed, 0x6265656c696e65))}
}

// record adds a line to the history. Two runs of one seed have the same lines.
func (w *world) record(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d ", w.history, w.now)
	fmt.Fprintf(h, format, args...)
	w.history = h.Sum64()
	if w.log != nil {
		fmt.Fprintf(w.log, "%12.6f  %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
	}
}

// event is something that happens at a time, in the order in which it was set among those
// of the same time. What it does must not block.
type event struct {
	at       time.Duration
	sequence uint64
	do       func()
	index    int // in the heap; -1: it is in none
}

// after has do called after d.
func (w *world) after(d time.Duration, do func()) *event {
	e := &event{do: do, index: -1}
	w.set(e, d)
	return e
}

// set has e happen after d, and not at the time set before.
func (w *world) set(e *event, d time.Duration) {
	w.cancel(e)
	w.sequence++
	e.at, e.sequence = w.now+max(d, 0), w.sequence
	w.events.push(e)
}

// cancel has e not happen.
func (w *world) cancel(e *event) {
	if e.index >= 0 {
		w.events.remove(e.index)
	}
}

// run lets time pass until end.
func (w *world) run(end time.Duration) {
	for {
		for len(w.runnable) > 0 {
			i := w.chance.IntN(len(w.runnable))
			c := w.runnable[i]
			last := len(w.runnable) - 1
			w.runnable[i] = w.runnable[last]
			w.runnable = w.runnable[:last]
			w.resume(c)
		}
		if len(w.events) == 0 || w.events[0].at > end {
			w.now = end
			return
		}
		e := w.events.remove(0)
		w.now = e.at
		w.steps++
		e.do()
	}
}
