package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// picture is a chart that has been drawn.
type picture struct {
	chart
	svg []byte // a file of its own, on white
}

// The pictures' size: 720 by 405 pixels.
const (
	width  = 540 * vg.Length(1)
	height = 304 * vg.Length(1)
)

// draw draws all charts of a run.
func draw(run *Run) ([]picture, error) {
	var all []picture
	for _, c := range charts(run) {
		svg, err := c.draw()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, picture{c, svg})
	}
	return all, nil
}

// look is how an arm's lines are told from the others', with colour (Okabe and Ito's,
// which the colour-blind tell apart) and without.
type look struct {
	colour color.NRGBA
	dashes []vg.Length
	shape  vgdraw.GlyphDrawer
}

func looks(a Arm) look {
	switch a {
	case Targeted:
		return look{color.NRGBA{0x00, 0x72, 0xB2, 0xFF}, nil, vgdraw.CircleGlyph{}}
	case Broadcast:
		return look{color.NRGBA{0xD5, 0x5E, 0x00, 0xFF}, []vg.Length{9, 3}, vgdraw.BoxGlyph{}}
	case Subscribe:
		return look{color.NRGBA{0x00, 0x9E, 0x73, 0xFF}, []vg.Length{2, 2.5}, vgdraw.PyramidGlyph{}}
	default:
		return look{soft(), nil, nil}
	}
}

// ink is the colour of text, soft that of axes, pale that of the grid.
func ink() color.NRGBA  { return color.NRGBA{0x22, 0x22, 0x22, 0xFF} }
func soft() color.NRGBA { return color.NRGBA{0x66, 0x66, 0x66, 0xFF} }
func pale() color.NRGBA { return color.NRGBA{0xDD, 0xDD, 0xDD, 0xFF} }

// draw draws a chart as SVG.
func (c *chart) draw() ([]byte, error) {
	p := plot.New()
	c.frame(p)
	labels := &endLabels{}
	for _, l := range c.lines {
		if err := l.add(p, c); err != nil {
			return nil, err
		}
		labels.add(l, c)
	}
	p.Add(labels)
	if c.y.log {
		p.Y.Min, p.Y.Max = outward(p.Y.Min, p.Y.Max)
	} else {
		p.Y.Min, p.Y.Max = 0, math.Max(p.Y.Max*1.04, 1e-9)
	}
	canvas := vgsvg.New(width, height)
	p.Draw(vgdraw.Crop(vgdraw.New(canvas), 8, -8, 6, -8))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(out.Bytes(), []byte("font-family:Liberation Sans"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}

// outward widens a logarithmic range to the next 1, 2 or 5.
func outward(low, high float64) (widerLow, widerHigh float64) {
	steps := []float64{0, math.Log10(2), math.Log10(5), 1}
	widerLow, widerHigh = math.Floor(low), math.Ceil(high)
	for _, s := range steps {
		if at := math.Floor(low) + s; at < low {
			widerLow = at
		}
		if at := math.Ceil(high) - s; at > high {
			widerHigh = at
		}
	}
	return widerLow, widerHigh
}

// frame sets a plot's title, axes and grid.
func (c *chart) frame(p *plot.Plot) {
	p.Title.Text = c.title
	p.Title.Padding = 10
	p.Title.TextStyle.Font = face(11.5, font.WeightBold)
	p.Title.TextStyle.Color = ink()
	for _, side := range []struct {
		of   *plot.Axis
		from axis
	}{{&p.X, c.x}, {&p.Y, c.y}} {
		a := side.of
		a.Label.Text = side.from.label
		a.Label.Padding = 5
		a.Label.TextStyle.Font = face(10.5, font.WeightNormal)
		a.Label.TextStyle.Color = ink()
		a.Tick.Label.Font = face(9.75, font.WeightNormal)
		a.Tick.Label.Color = ink()
		a.Color, a.Tick.Color = soft(), soft()
		a.Tick.Length = 4
		a.Padding = 4
		a.Tick.Marker = side.from.ticker()
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = pale(), pale()
	grid.Vertical.Width, grid.Horizontal.Width = 0.6, 0.6
	p.Add(grid)
}

// face is a font, of a size in points.
func face(size vg.Length, weight font.Weight) plotfont.Font {
	return plotfont.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight, Size: size}
}

// add adds a line to a plot: its band, its medians, its markers.
func (l *line) add(p *plot.Plot, c *chart) error {
	look := looks(l.arm)
	medians := make(plotter.XYs, len(l.spots))
	for i, s := range l.spots {
		medians[i] = plotter.XY{X: c.x.place(s.x), Y: c.y.place(s.y.mid)}
	}
	if err := l.addBand(p, c, look.colour); err != nil {
		return err
	}
	drawn, err := plotter.NewLine(medians)
	if err != nil {
		return err
	}
	drawn.Color, drawn.Width, drawn.Dashes = look.colour, 1.7, look.dashes
	switch {
	case l.dashed:
		drawn.Dashes, drawn.Width = []vg.Length{5, 4}, 1.3
	case l.solid:
		drawn.Dashes = nil
	case l.arm == "":
		drawn.Width = 1
	}
	p.Add(drawn)
	if look.shape == nil || l.plain || len(l.spots) > 12 {
		return nil
	}
	markers, err := plotter.NewScatter(medians)
	if err != nil {
		return err
	}
	markers.Color, markers.Shape, markers.Radius = look.colour, look.shape, 3.4
	p.Add(markers)
	return nil
}

// addBand adds the area between the least and the greatest values.
func (l *line) addBand(p *plot.Plot, c *chart, colour color.NRGBA) error {
	var edge plotter.XYs
	wide := false
	for _, s := range l.spots {
		edge = append(edge, plotter.XY{X: c.x.place(s.x), Y: c.y.place(s.y.high)})
		wide = wide || s.y.high > s.y.low
	}
	if !wide {
		return nil
	}
	for i := len(l.spots) - 1; i >= 0; i-- {
		edge = append(edge, plotter.XY{X: c.x.place(l.spots[i].x), Y: c.y.place(l.spots[i].y.low)})
	}
	area, err := plotter.NewPolygon(edge)
	if err != nil {
		return err
	}
	colour.A = 0x38
	area.Color, area.LineStyle.Width = colour, 0
	p.Add(area)
	return nil
}
