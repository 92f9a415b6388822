package redisconn

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// slotWatch notices when slots of a Cluster go from one master to another. Then an answer
// may have come from another master than the one that the client's map names, and the slot
// from a master that had lost its data. It is a hook of the client's connections to the
// servers.
type slotWatch struct {
	mu     sync.Mutex
	owners string // of the slots, as the client was told last
	shifts SlotShifts
	last   time.Time // of them
}

// SlotShifts counts what was noticed of slots that move.
type SlotShifts struct {
	Moves uint64 // answers that a slot has moved, and other owners than before
	Asks  uint64 // answers that a slot is moving: that may go on for long
}

// SlotShifts returns what was noticed so far; outside Cluster it stays zero.
func (c *Client) SlotShifts() SlotShifts { return c.slots.noticed() }

// SlotsCalmSince reports whether no slot was noticed to move since then.
func (c *Client) SlotsCalmSince(then time.Time) bool { return c.slots.calmSince(then) }

// watchSlots hooks w in.
func watchSlots(client redis.UniversalClient, w *slotWatch) {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(w) })
	}
}

func (w *slotWatch) noticed() SlotShifts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shifts
}

// calmSince reports whether nothing was noticed since then.
func (w *slotWatch) calmSince(then time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Before(then)
}

// look takes a server's answer before the client acts on it.
func (w *slotWatch) look(cmd redis.Cmder, err error) {
	if err != nil {
		_, moved := redis.IsMovedError(err)
		_, asked := redis.IsAskError(err)
		w.note(moved, asked)
	} else if slots, ok := cmd.(*redis.ClusterSlotsCmd); ok {
		w.learn(ownersOf(slots.Val()))
	}
}

func (w *slotWatch) note(moved, asked bool) {
	if !moved && !asked {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = time.Now()
	if moved {
		w.shifts.Moves++
	} else {
		w.shifts.Asks++
	}
}

// learn takes note of the masters that own the slots.
func (w *slotWatch) learn(owners string) {
	w.mu.Lock()
	before := w.owners
	w.owners = owners
	w.mu.Unlock()
	w.note(before != "" && before != owners, false)
}

// ownersOf names the master of each range of slots.
func ownersOf(ranges []redis.ClusterSlot) string {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b redis.ClusterSlot) int { return a.Start - b.Start })
	var b strings.Builder
	for _, r := range ranges {
		if len(r.Nodes) > 0 {
			b.WriteString(strconv.Itoa(r.Start) + "-" + strconv.Itoa(r.End) + " " + r.Nodes[0].ID + "\n")
		}
	}
	return b.String()
}

// DialHook changes nothing.
func (w *slotWatch) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook looks at single commands.
func (w *slotWatch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		w.look(cmd, err)
		return err
	}
}

// ProcessPipelineHook looks at all commands of a pipeline.
func (w *slotWatch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			w.look(cmd, cmd.Err())
		}
		return err
	}
}
