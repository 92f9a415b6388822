package bench

import (
	"math/rand/v2"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// Distributions of senders and receivers.
const (
	Uniform = "uniform"
	Zipf    = "zipf"
)

const (
	// zipfExponent and zipfOffset shape the distribution: of 1,000 clients the most
	// talkative one has nearly a fifth of the messages.
	zipfExponent = 1.1
	zipfOffset   = 1
	// zipfTable is how many values are drawn beforehand, so that many goroutines can
	// draw without a lock.
	zipfTable = 1 << 16
	// draws bounds how often a receiver is drawn again.
	draws = 1000
)

// draw draws senders and receivers. Many goroutines may use it.
type draw struct {
	clients uint32 // connected
	absent  uint32 // behind them
	share   float64
	apart   bool // a receiver is never on its sender's node
	table   []uint32
}

func newDraw(p *report.Point, absent int) *draw {
	d := &draw{clients: uint32(p.Clients), absent: uint32(absent), share: p.OfflineShare,
		apart: p.Workload == report.Nodes && p.Nodes > 1}
	if p.Distribution == Zipf {
		// The same seed every time: two runs drive the same clients.
		z := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), zipfExponent, zipfOffset, uint64(d.clients-1))
		for range zipfTable {
			d.table = append(d.table, uint32(z.Uint64()))
		}
	}
	return d
}

// sender draws who sends.
func (d *draw) sender() uint32 {
	if d.table != nil {
		return d.table[rand.IntN(len(d.table))]
	}
	return rand.Uint32N(d.clients)
}

// receiver draws to whom a client sends: never to himself.
func (d *draw) receiver(from uint32, nodeOf func(uint32) int) uint32 {
	if d.absent > 0 && rand.Float64() < d.share {
		return d.clients + rand.Uint32N(d.absent)
	}
	to := d.sender()
	for range draws {
		if to != from && (!d.apart || nodeOf(to) != nodeOf(from)) {
			break
		}
		to = d.sender()
	}
	return to
}
