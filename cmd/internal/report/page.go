package report

import (
	_ "embed"
	"fmt"
	"html"
	"image/color"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// The page, and its part on the model. What is in double braces is replaced, by what
// is HTML already. Package html/template would do that with less care needed here,
// but what it links makes the binary half as large again.
var (
	//go:embed page.html
	pageHTML string
	//go:embed model.html
	modelHTML string
)

// writePage writes the page that needs no other file.
func writePage(w io.Writer, run *Run, pictures []picture) error {
	bad := trouble(run)
	alert := ""
	if bad != "" {
		alert = element("div", `class="card trouble" role="alert"`, element("p", "", escape(bad))) + "\n"
	}
	_, err := io.WriteString(w, fill(pageHTML, map[string]string{
		"subtitle": escape(fmt.Sprintf("beeline bench, %s, took %s. %s",
			run.Started.Format("2006-01-02 15:04 MST"), run.Took.Round(time.Second), sentence(run.Target))),
		"trouble":  alert,
		"verdict":  escape(strings.TrimSpace(strings.TrimPrefix(Verdict(run), bad))),
		"pictures": figuresHTML(pictures, "Growth", "nodes-", "clients-", "size-", "offline-") + figuresHTML(pictures, "Latency", "latency-"),
		"tables":   tablesHTML(tables(run)),
		"model":    modelPart(run, pictures),
		"facts":    factsHTML(run),
	}))
	return err
}

// sentence makes a text begin with a capital letter and end with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// modelPart is the page's part on the model, or says what a model takes.
func modelPart(run *Run, pictures []picture) string {
	m := NewModel(run)
	if len(m.Arms) == 0 {
		return "<p>This run has no model: it takes the workload nodes with three numbers of nodes at least, of which the largest " +
			"is held out to check it, and figures of CPU or Redis bytes that are not marked.</p>"
	}
	lookups, refresh := "", "The refreshing of leases was not measured in this run (workload idle) and is not in these figures."
	for _, am := range m.Arms {
		for _, u := range am.Units {
			if u.Assumed {
				lookups = " Where this run could not tell lookups from hops, a lookup is taken to cost as much as a hop, which is too much rather than too little."
			}
		}
	}
	if m.HasRefresh {
		refresh = "The refreshing of leases, which targeted alone keeps, is in its Redis' figures and not in its nodes'."
	}
	a := assumed()
	return fill(modelHTML, map[string]string{
		"lookups":  lookups,
		"tables":   tablesHTML([]table{m.unitTable(), m.checkTable(), m.demandTable(a)}),
		"rate":     number(a.MessagesPerSecond),
		"known":    count(float64(a.KnownOwners)),
		"share":    number(100 * a.RedisShare),
		"refresh":  refresh,
		"pictures": figuresHTML(pictures, "", "model-"),
	})
}

// fill replaces each name in double braces by what it stands for.
func fill(page string, parts map[string]string) string {
	var pairs []string
	for name, part := range parts {
		pairs = append(pairs, "{{"+name+"}}", part)
	}
	return strings.NewReplacer(pairs...).Replace(page)
}

func escape(text string) string { return html.EscapeString(text) }

// element returns an element around what is HTML already.
func element(name, attributes, inner string) string {
	if attributes != "" {
		attributes = " " + attributes
	}
	return "<" + name + attributes + ">" + inner + "</" + name + ">"
}

// figuresHTML returns the pictures whose names begin so, below a heading.
func figuresHTML(pictures []picture, heading string, prefixes ...string) string {
	var out strings.Builder
	for i := range pictures {
		p := &pictures[i]
		if !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(p.name, prefix) }) {
			continue
		}
		if out.Len() == 0 && heading != "" {
			out.WriteString(element("h2", "", heading) + "\n")
		}
		inner := element("div", `class="scroll"`, inline(p)) + element("figcaption", "", escape(p.caption))
		out.WriteString(element("figure", `id="`+p.name+`"`, inner) + "\n")
	}
	return out.String()
}

// inline makes a picture part of a page: without the head of a file, with a name for
// those who can't see it, and with the page's colours, which follow its theme.
func inline(p *picture) string {
	svg := string(p.svg)
	if i := strings.Index(svg, "<svg"); i >= 0 {
		svg = svg[i:]
	}
	svg = strings.Replace(svg, "<svg ", `<svg role="img" aria-label="`+escape(p.title)+`" `, 1)
	return strings.NewReplacer(
		"#FFFFFF", "var(--paper)", hex(ink()), "var(--text)", hex(soft()), "var(--soft)", hex(pale()), "var(--line)",
		hex(looks(Targeted).colour), "var(--targeted)", hex(looks(Broadcast).colour), "var(--broadcast)", hex(looks(Subscribe).colour), "var(--subscribe)",
	).Replace(svg)
}

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

func tablesHTML(tables []table) string {
	var out strings.Builder
	for _, t := range tables {
		if len(t.Rows) > 0 {
			out.WriteString(t.html())
		}
	}
	return out.String()
}

func (t *table) html() string {
	out := element("h3", "", escape(t.Title)) + "\n"
	if t.Note != "" {
		out += element("p", `class="soft"`, escape(t.Note)) + "\n"
	}
	head, rows := "", ""
	for i, h := range t.Head {
		head += element("th", `scope="col"`+t.class(i, h), escape(h))
	}
	for _, row := range t.Rows {
		cells := ""
		for i, c := range row {
			cells += element("td", strings.TrimSpace(t.class(i, c)), t.cell(i, c))
		}
		rows += element("tr", "", cells) + "\n"
	}
	body := element("thead", "", element("tr", "", head)) + "\n" + element("tbody", "", rows)
	return out + element("div", `class="scroll"`, element("table", "", body)) + "\n"
}

// class tells the columns of words from those of figures, and sentences from both.
func (t *table) class(column int, text string) string {
	switch {
	case column < t.Left:
		return ` class="words"`
	case len(text) > 40:
		return ` class="long"`
	default:
		return ""
	}
}

// cell puts a band's range below its median.
func (t *table) cell(column int, text string) string {
	median, around, ok := strings.Cut(text, " (")
	if column < t.Left || !ok || !strings.HasSuffix(around, ")") || !strings.Contains(around, "–") {
		return escape(text)
	}
	return escape(median) + element("small", "", escape(strings.TrimSuffix(around, ")")))
}

// factsHTML returns what is needed to judge a run and to repeat it.
func factsHTML(run *Run) string {
	memory := "unknown"
	if run.Machine.MemoryBytes > 0 {
		memory = number(float64(run.Machine.MemoryBytes)/math.Pow(2, 30)) + " GiB"
	}
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(run.Versions)) {
		versions = append(versions, name+" "+run.Versions[name])
	}
	out := "\n"
	for _, fact := range [][2]string{
		{"Machine", fmt.Sprintf("%s, %d cores, memory %s", run.Machine.Processor, run.Machine.Cores, memory)},
		{"System", run.Machine.System},
		{"Versions", strings.Join(versions, ", ")},
		{"Target", run.Target},
		{"Points", fmt.Sprintf("%d, all of them in %s and %s beside this page", len(run.Points), pointsFile, sheetFile)},
		{"Command", run.Command},
	} {
		out += element("dt", "", fact[0]) + element("dd", "", escape(fact[1])) + "\n"
	}
	return out
}
