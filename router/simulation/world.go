package simulation

import (
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
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

// coroutine runs tasks, one after the other.
type coroutine struct {
	world *world
	host  *host // whose task it runs; nil: of no host
	task  func()
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool

	queued bool // it can go on
	killed bool // its task ends when it blocks next
}

// killed is what ends a task of a host that was killed: it unwinds its stack.
type killed struct{}

// spawn starts a task of host; nil: of none.
func (w *world) spawn(host *host, task func()) *coroutine {
	var c *coroutine
	if n := len(w.idle); n > 0 {
		c, w.idle = w.idle[n-1], w.idle[:n-1]
	} else {
		c = &coroutine{world: w}
		c.next, c.stop = iter.Pull(c.loop)
		w.all = append(w.all, c)
	}
	c.host, c.task, c.killed = host, task, false
	w.ready(c)
	return c
}

// loop runs one task after the other, until it is stopped.
func (c *coroutine) loop(yield func(struct{}) bool) {
	c.yield = yield
	for {
		c.perform()
		if !yield(struct{}{}) {
			return
		}
	}
}

func (c *coroutine) perform() {
	defer func() {
		if x := recover(); x != nil {
			if _, ok := x.(killed); !ok {
				panic(x)
			}
		}
		c.task = nil
	}()
	if !c.killed { // before it began
		c.task()
	}
}

// ready has c go on, when its host runs.
func (w *world) ready(c *coroutine) {
	if c.queued || c.killed {
		return
	}
	c.queued = true
	if c.host != nil && c.host.frozen {
		c.host.held = append(c.host.held, func() { w.runnable = append(w.runnable, c) })
		return
	}
	w.runnable = append(w.runnable, c)
}

// resume lets c run until it blocks or its task has ended.
func (w *world) resume(c *coroutine) {
	before := w.current
	w.current, c.queued = c, false
	w.steps++
	c.next()
	w.current = before
	if c.task != nil {
		return
	}
	c.host = nil
	w.idle = append(w.idle, c)
}

// block lets others run until the task that calls it is ready again.
func (w *world) block() {
	c := w.current
	if c == nil {
		panic("an event has blocked")
	}
	if !c.killed {
		w.pass(c)
	}
	if c.killed {
		panic(killed{})
	}
}

// pass lets others run; it is false when the world has ended.
func (w *world) pass(c *coroutine) {
	w.current = nil
	if !c.yield(struct{}{}) {
		c.killed = true
	}
	w.current = c
}

// preempt lets others run for a moment, if a task calls it.
func (w *world) preempt() {
	if c := w.current; c != nil && !c.killed {
		w.ready(c)
		w.pass(c)
	}
}

// end unwinds all tasks.
func (w *world) end() {
	for _, e := range w.events {
		e.index = -1
	}
	w.runnable, w.events = nil, nil
	for _, c := range w.all {
		w.current = c
		c.stop()
	}
	w.current = nil
}

// kill ends all tasks of a host.
func (w *world) kill(host *host) {
	var its []*coroutine
	for _, c := range w.all {
		if c.host == host && c.task != nil {
			c.killed, c.queued = true, false
			its = append(its, c)
		}
	}
	w.runnable = slices.DeleteFunc(w.runnable, func(c *coroutine) bool { return c.host == host })
	for _, c := range its {
		w.resume(c)
	}
}

// eventHeap is a heap of events, the next one first.
type eventHeap []*event

func (h eventHeap) less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].sequence < h[j].sequence
}

func (h eventHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *eventHeap) push(e *event) {
	e.index = len(*h)
	*h = append(*h, e)
	h.up(e.index)
}

// remove takes out what is at i.
func (h *eventHeap) remove(i int) *event {
	e, last := (*h)[i], len(*h)-1
	if i != last {
		h.swap(i, last)
	}
	(*h)[last] = nil
	*h = (*h)[:last]
	if i != last {
		h.down(i)
		h.up(i)
	}
	e.index = -1
	return e
}

func (h eventHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h eventHeap) down(i int) {
	for {
		child := 2*i + 1
		if child+1 < len(h) && h.less(child+1, child) {
			child++
		}
		if child >= len(h) || !h.less(child, i) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
