package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// readLines reads the points of a folder back.
func readLines(t *testing.T, dir string) []Point {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, pointsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var points []Point
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p Point
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		points = append(points, p)
	}
	return points
}

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func written(t *testing.T, run *Run) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "new", "report")
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, run); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLogKeepsEachPointAtOnce(t *testing.T) {
	dir := t.TempDir()
	log, err := NewLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	run := newSynthetic(0.1).whole()
	run.Points[0].Marks = []string{"late"}
	for i := range run.Points[:3] {
		if err := log.Append(&run.Points[i]); err != nil {
			t.Fatal(err)
		}
		if got := readLines(t, dir); !reflect.DeepEqual(got, run.Points[:i+1]) {
			t.Fatalf("after %d points the log holds %+v", i+1, got)
		}
	}
}

func TestPointsReadBack(t *testing.T) {
	run := newSynthetic(0.1).whole()
	run.Points[1].Late = "sent late" // its latencies are kept for programs all the same
	dir := written(t, run)
	if !reflect.DeepEqual(readLines(t, dir), run.Points) {
		t.Error("points.jsonl does not read back to the points")
	}

	rows, err := csv.NewReader(strings.NewReader(readFile(t, dir, sheetFile))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(run.Points)+1 {
		t.Fatalf("%d rows for %d points", len(rows), len(run.Points))
	}
	for i, p := range run.Points {
		row := rows[i+1]
		if row[0] != string(p.Workload) || row[1] != string(p.Arm) || row[3] != strconv.Itoa(p.Nodes) {
			t.Fatalf("row %v of %+v", row, p)
		}
		for _, f := range figures() {
			text := row[slices.Index(rows[0], string(f))]
			want, ok := p.Figures[f]
			if got, err := strconv.ParseFloat(text, 64); ok != (text != "") || ok && (err != nil || got != want) {
				t.Fatalf("%s is %q, want %v, measured %v", f, text, want, ok)
			}
		}
	}
}

func TestWhatIsNoNumberIsNotWritten(t *testing.T) {
	dir := written(t, &Run{Points: []Point{{Workload: Rate, Figures: map[Figure]float64{Wasted: math.NaN(), Sent: 3}}}})
	if got := readLines(t, dir)[0].Figures; !reflect.DeepEqual(got, map[Figure]float64{Sent: 3}) {
		t.Errorf("figures %v", got)
	}
}

func TestPrepareSaysWhatItNeeds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		err := Prepare(dir)
		if err == nil {
			t.Fatalf("%s was accepted", dir)
		}
		wantInOrder(t, err.Error(), dir, "needs a folder that can be made or written to")
	}
}

// An earlier report stays until there is something to put in its place.
func TestLogReplacesAnEarlierReportAndNothingElse(t *testing.T) {
	dir := written(t, newSynthetic(0).whole())
	own := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(own, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	page := readFile(t, dir, pageFile)
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	if readFile(t, dir, pageFile) != page {
		t.Error("the earlier page went before there was a point")
	}
	log, err := NewLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != "notes.txt" || left[1].Name() != pointsFile {
		t.Errorf("left: %v, %v; want the notes and the log alone", left, err)
	}
}

func TestPageIsSelfContained(t *testing.T) {
	run := newSynthetic(0.1).whole()
	run.Command = `beeline bench --out "a<b>&c"`
	run.Points[0].Marks = []string{"<script>late</script>"}
	html := readFile(t, written(t, run), pageFile)
	namespaces := regexp.MustCompile(`xmlns(:xlink)?="http://www\.w3\.org/[^"]*"`)
	if rest := namespaces.ReplaceAllString(html, ""); regexp.MustCompile(`https?:|//[a-z]|@import|url\(|<link|<script|<img|src=`).MatchString(rest) {
		t.Error("the page asks for something outside of it, or runs what it was given")
	}
	for _, want := range []string{"a&lt;b&gt;&amp;c", "var(--targeted)", `role="img"`, "The model against a point it has not seen", "10,000,000"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(html, "<?xml") || strings.Contains(html, "#0072B2") {
		t.Error("a picture was put into the page as it is")
	}
	wellFormed(t, "report.html", htmlAsXML(html))
}

// htmlAsXML closes the elements that HTML has no end tags for.
func htmlAsXML(html string) string {
	return regexp.MustCompile(`<(!DOCTYPE|meta|br)\b[^>]*>`).ReplaceAllString(html, "")
}

func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Entity = xml.HTMLEntity
	for {
		switch _, err := d.Token(); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestSizesAreLabelledExactly(t *testing.T) {
	s := newSynthetic(0.1)
	for _, size := range []int{128, 1024, 8192} {
		s.add(1, Point{Workload: Size, Nodes: 4, Clients: 100, MessageBytes: size, RatePerSecond: 100}, 0)
	}
	svg := readFile(t, written(t, &s.Run), "size-redis-out.svg")
	for _, label := range []string{">128<", ">1,024<", ">8,192<"} {
		if !strings.Contains(svg, label) {
			t.Errorf("the axis has no label %s", label)
		}
	}
}

func TestPicturesAreWellFormedAndNamed(t *testing.T) {
	dir := written(t, newSynthetic(0.1).whole())
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(files) < 9 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		svg := readFile(t, dir, name)
		wellFormed(t, name, svg)
		if !slices.Contains(pictureNames(), name) {
			t.Errorf("%s would stay beside a later report", name)
		}
		for _, arm := range arms() { // each is named beside its line, not by its colour only
			if !strings.Contains(svg, ">"+string(arm)) {
				t.Errorf("%s does not name %s", name, arm)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s has coordinates that are no numbers", name)
		}
	}
}

func TestBrokenRunIsSaidFirst(t *testing.T) {
	run := newSynthetic(0.1).whole()
	run.Broken = "Redis has died"
	run.Points = run.Points[:4]
	html := readFile(t, written(t, run), pageFile)
	wantInOrder(t, html, "<h1>", "BROKEN", "Redis has died", "verdict", "This run has no model")
	var out bytes.Buffer
	if err := WriteTable(&out, run); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "This run is BROKEN") {
		t.Errorf("the table begins with %.80s", out.String())
	}
}

func TestTableShowsMarkedPointsAsMarked(t *testing.T) {
	run := compared([]int{2}, map[Arm][]float64{Targeted: {100}, Broadcast: {300}})
	for i := range run.Points {
		if p := &run.Points[i]; p.Arm == Broadcast {
			p.Marks = []string{"the generator was late"}
		}
	}
	run.Points[0].Figures[Wasted] = 0
	var out bytes.Buffer
	if err := WriteTable(&out, run); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	row := func(arm Arm) string {
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  "+string(arm)) })
		if i < 0 {
			t.Fatalf("no row for %s in:\n%s", arm, out.String())
		}
		return lines[i]
	}
	if got := strings.Fields(row(Targeted)); !slices.Equal(got, []string{"targeted", "101", "(100–102)", "0", "0"}) {
		t.Errorf("targeted's row %q", got)
	}
	if got := row(Broadcast); strings.ContainsAny(strings.SplitN(got, "3 of 3", 2)[0], "0123456789") || !strings.HasSuffix(got, "3 of 3: the generator was late") {
		t.Errorf("broadcast's row %q, want no figures and why", got)
	}
	if strings.Contains(out.String(), "p50") {
		t.Error("a column for what nobody measured")
	}
}

func TestReportOfNothing(t *testing.T) {
	dir := written(t, &Run{Broken: "interrupted"})
	wantInOrder(t, readFile(t, dir, pageFile), "BROKEN", "interrupted")
	if files, _ := filepath.Glob(filepath.Join(dir, "*.svg")); len(files) > 0 {
		t.Errorf("pictures of nothing: %v", files)
	}
}
