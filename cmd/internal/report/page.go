package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

// page is what page.html shows.
type page struct {
	Trouble     string // why the run is not to be trusted
	Verdict     string
	Run         *Run
	Started     string
	Took        string
	Versions    []string // name and version
	Memory      string
	Growth      []figure
	Latency     []figure
	Tables      []table
	ModelTables []table
	Model       []figure
	Assumed     Assumptions
	HasRefresh  bool
	Guessed     bool // a lookup's cost is assumed
}

// figure is a picture on the page.
type figure struct {
	SVG     template.HTML // drawn by this package
	Caption string
	Name    string
}

// writePage writes the page that needs no other file.
func writePage(w io.Writer, run *Run, pictures []picture) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"share":   func(v float64) string { return number(100 * v) },
		"number":  number,
		"count":   func(n int) string { return count(float64(n)) },
		"median":  func(cell string) string { mid, _ := split(cell); return mid },
		"around":  func(cell string) string { _, r := split(cell); return r },
		"isWords": func(i int, t table) bool { return i < t.Left },
	}).Parse(pageHTML)
	if err != nil {
		return err
	}
	return t.Execute(w, newPage(run, pictures))
}

func newPage(run *Run, pictures []picture) *page {
	p := &page{
		Trouble: trouble(run),
		Run:     run,
		Started: run.Started.Format("2006-01-02 15:04 MST"),
		Took:    run.Took.Round(time.Second).String(),
		Memory:  "unknown",
		Tables:  tables(run),
		Assumed: run.Assumed.orDefaults(),
	}
	p.Verdict = strings.TrimSpace(strings.TrimPrefix(Verdict(run), p.Trouble))
	if run.Machine.MemoryBytes > 0 {
		p.Memory = fmt.Sprintf("%s GiB", number(float64(run.Machine.MemoryBytes)/math.Pow(2, 30)))
	}
	for _, name := range slices.Sorted(maps.Keys(run.Versions)) {
		p.Versions = append(p.Versions, name+" "+run.Versions[name])
	}
	for i := range pictures {
		f := figure{inline(&pictures[i]), pictures[i].caption, pictures[i].name}
		switch {
		case strings.HasPrefix(f.Name, "latency-"):
			p.Latency = append(p.Latency, f)
		case strings.HasPrefix(f.Name, "model-"):
			p.Model = append(p.Model, f)
		default:
			p.Growth = append(p.Growth, f)
		}
	}
	if m := NewModel(run); len(m.Arms) > 0 {
		p.ModelTables = []table{m.unitTable(), m.checkTable(), m.demandTable(run.Assumed)}
		p.HasRefresh = m.HasRefresh
		for _, am := range m.Arms {
			for _, u := range am.Units {
				p.Guessed = p.Guessed || u.Assumed
			}
		}
	}
	return p
}

// inline makes a picture part of a page: without the head of a file, with a name for
// those who can't see it, and with the page's colours, which follow its theme.
func inline(p *picture) template.HTML {
	svg := string(p.svg)
	if i := strings.Index(svg, "<svg"); i >= 0 {
		svg = svg[i:]
	}
	svg = strings.Replace(svg, "<svg ", fmt.Sprintf(`<svg role="img" aria-label="%s" `, template.HTMLEscapeString(p.title)), 1)
	return template.HTML(strings.NewReplacer(
		"#FFFFFF", "var(--paper)", hex(ink()), "var(--text)", hex(soft()), "var(--soft)", hex(pale()), "var(--line)",
		hex(looks(Targeted).colour), "var(--targeted)", hex(looks(Broadcast).colour), "var(--broadcast)", hex(looks(Subscribe).colour), "var(--subscribe)",
	).Replace(svg))
}

// split takes a band's text apart again, for two lines.
func split(cell string) (median, around string) {
	median, around, ok := strings.Cut(strings.TrimSuffix(cell, ")"), " (")
	if !ok || !strings.HasSuffix(cell, ")") {
		return cell, ""
	}
	return median, around
}

func hex(c interface{ RGBA() (r, g, b, a uint32) }) string {
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02X%02X%02X", r>>8, g>>8, b>>8)
}
