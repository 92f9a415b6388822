package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// benchProgress shows how a bench goes, and keeps each point as it is measured.
type benchProgress struct {
	w   io.Writer
	out string      // a folder, or empty: nothing is kept
	log *report.Log // nil: nothing is kept yet

	mu     sync.Mutex
	bar    *progressbar.ProgressBar // nil: no terminal, or not begun
	onTerm bool
	number int
	of     int
	what   string
	begun  time.Time
}

// newBenchProgress shows a bar on a terminal, and lines elsewhere.
func (a *app) newBenchProgress(out string) *benchProgress {
	return &benchProgress{w: a.stderr, out: out, onTerm: onTerminal(a.stderr)}
}

func (p *benchProgress) Begin(number, of int, point *report.Point) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number, p.of, p.begun = number, of, time.Now()
	p.what = fmt.Sprintf("%s, %s, %d nodes, %d clients", point.Workload, point.Arm, point.Nodes, point.Clients)
	if !p.onTerm {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(of, progressbar.OptionSetWriter(p.w), progressbar.OptionSetWidth(20),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true),
			progressbar.OptionClearOnFinish())
	}
	p.bar.Describe(p.what)
}

func (p *benchProgress) Rate(perSecond float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%s, %.0f messages/s", p.what, perSecond))
	}
}

func (p *benchProgress) Measured(point *report.Point) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Add(1) // a terminal that is gone shows nothing
	} else {
		fmt.Fprintf(p.w, "%d/%d  %s: %s in %.1f s\n", p.number, p.of, p.what, summary(point), time.Since(p.begun).Seconds())
	}
	return p.keep(point)
}

// keep logs a point. The first replaces an earlier report, which is lost only now, when
// there is another one.
func (p *benchProgress) keep(point *report.Point) (err error) {
	if p.out == "" {
		return nil
	}
	if p.log == nil {
		if p.log, err = report.NewLog(p.out); err != nil {
			return err
		}
	}
	return p.log.Append(point)
}

// summary is a point in a few words.
func summary(p *report.Point) string {
	if n, ok := p.Figures[report.BytesPerConnection]; ok {
		return fmt.Sprintf("%.0f bytes a connection", n)
	}
	if n, ok := p.Figures[report.ConnectsPerSecond]; ok {
		return fmt.Sprintf("%.0f connects/s", n)
	}
	text := fmt.Sprintf("%.0f messages/s, p50 %.2f ms, lost %.0f", p.Figures[report.DeliveredPerSecond],
		p.Figures[report.LatencyP50]/1000, p.Figures[report.Lost])
	if len(p.Faults) > 0 {
		text += ", FAULTS"
	}
	return text
}

// end takes the bar from the screen.
func (p *benchProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear() // as above
	}
	if p.log != nil {
		_ = p.log.Close() // what it holds was written at once
	}
}
