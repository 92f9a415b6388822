package report

import (
	"cmp"
	"math"
	"slices"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// place is where a value lies on an axis that the library takes for a linear one:
// its own logarithmic one misplaces labels.
func (a axis) place(v float64) float64 {
	if a.log {
		return math.Log10(v)
	}
	return v
}

// ticker marks an axis at its own ticks, or at round numbers.
func (a axis) ticker() plot.Ticker {
	return plot.TickerFunc(func(low, high float64) []plot.Tick {
		switch {
		case len(a.ticks) > 0:
			return a.apart(low, high)
		case a.log:
			return logTicks(low, high)
		default:
			return linearTicks(low, high)
		}
	})
}

// linearTicks labels four to nine round numbers.
func linearTicks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(high-low)))
	for _, finer := range []float64{2, 2.5, 2} { // 5, 2 and 1 of the next power of ten
		if (high-low)/step >= 4 {
			break
		}
		step /= finer
	}
	var ticks []plot.Tick
	for i := math.Ceil(low / step); i*step <= high; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: number(i * step)})
	}
	return ticks
}

// apart labels an axis' own ticks where there is room for it.
func (a axis) apart(low, high float64) []plot.Tick {
	const room = 0.018 // of the axis, for each letter
	var ticks []plot.Tick
	free := math.Inf(-1)
	for _, t := range a.ticks {
		label := plot.Tick{Value: a.place(t.at), Label: t.text}
		middle := (label.Value - low) / (high - low)
		half := room * float64(len(t.text)) / 2
		if middle-half < free {
			label.Label = ""
		} else {
			free = middle + half
		}
		ticks = append(ticks, label)
	}
	return ticks
}

// logTicks labels the powers of ten, and 2 and 5 times them where those are few.
func logTicks(low, high float64) []plot.Tick {
	few := high-low < 2.5
	var ticks []plot.Tick
	for power := math.Floor(low); power <= high; power++ {
		for step := 1.0; step < 10; step++ {
			t := plot.Tick{Value: power + math.Log10(step)}
			if step == 1 || few && (step == 2 || step == 5) {
				t.Label = number(math.Pow(10, t.Value))
			}
			if t.Value >= low-1e-9 && t.Value <= high+1e-9 {
				ticks = append(ticks, t)
			}
		}
	}
	return ticks
}

// endLabels name the lines beside their right ends, so that nobody has to compare
// colours with a legend.
type endLabels struct{ ends []end }

type end struct {
	text   string
	y      float64
	colour look
}

func (e *endLabels) add(l line, c *chart) {
	if len(l.spots) == 0 || l.label == "" {
		return
	}
	e.ends = append(e.ends, end{l.label, c.y.place(l.spots[len(l.spots)-1].y.mid), looks(l.arm)})
}

func (end end) style() text.Style {
	return text.Style{
		Color: end.colour.colour, Font: face(10.5, font.WeightBold),
		XAlign: vgdraw.XLeft, YAlign: vgdraw.YCenter, Handler: plot.DefaultTextHandler,
	}
}

// gap is between a line's end and its name.
const gap = vg.Length(9)

// Plot draws the names, pushed apart where lines end close to each other.
func (e *endLabels) Plot(c vgdraw.Canvas, p *plot.Plot) {
	_, place := p.Transforms(&c)
	ends := slices.Clone(e.ends)
	slices.SortStableFunc(ends, func(a, b end) int { return cmp.Compare(a.y, b.y) })
	at := make([]vg.Length, len(ends))
	for i, end := range ends {
		at[i] = place(end.y)
	}
	const line = vg.Length(12.5)
	for range 50 { // each round halves what overlaps
		for i := 1; i < len(at); i++ {
			if near := line - (at[i] - at[i-1]); near > 0 {
				at[i-1] -= near / 2
				at[i] += near / 2
			}
		}
		if len(at) > 0 {
			at[0] = max(at[0], c.Min.Y+4)
		}
	}
	for i, end := range ends {
		c.FillText(end.style(), vg.Point{X: c.Max.X + gap, Y: at[i]}, end.text)
	}
}

// GlyphBoxes reserves the room that the names need.
func (e *endLabels) GlyphBoxes(*plot.Plot) []plot.GlyphBox {
	var boxes []plot.GlyphBox
	for _, end := range e.ends {
		r := end.style().Rectangle(end.text)
		r.Min.X, r.Max.X = r.Min.X+gap, r.Max.X+gap
		r.Min.Y, r.Max.Y = 0, 0.1 // vertically they may leave their line's end
		boxes = append(boxes, plot.GlyphBox{X: 1, Y: 0.5, Rectangle: r})
	}
	return boxes
}
