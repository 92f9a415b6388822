package report

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The files of a report, beside the pictures.
const (
	pointsFile = "points.jsonl"
	sheetFile  = "points.csv"
	pageFile   = "report.html"
)

// Prepare makes the folder dir if it does not exist and proves that files can be
// written there. What is in it stays.
func Prepare(dir string) error {
	if err := prepare(dir); err != nil {
		return fmt.Errorf("cannot write to %s: %w; the output needs a folder that can be made or written to", dir, err)
	}
	return nil
}

func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = probe.WriteString("x")
	return errors.Join(err, probe.Close(), os.Remove(probe.Name()))
}

// removeReport removes an earlier report, so that no picture of one run stays beside
// those of another.
func removeReport(dir string) error {
	for _, name := range append(pictureNames(), pointsFile, sheetFile, pageFile) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Log writes points to a folder's points.jsonl as they are measured, so that they
// outlive a run that is killed. It is for one goroutine at a time.
type Log struct{ file *os.File }

// NewLog begins the log of a folder that Prepare has prepared. An earlier report in it
// is removed; files that no report has are left alone.
func NewLog(dir string) (*Log, error) {
	if err := removeReport(dir); err != nil {
		return nil, fmt.Errorf("report: remove the earlier report: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, pointsFile))
	if err != nil {
		return nil, fmt.Errorf("report: begin the log of points: %w", err)
	}
	return &Log{f}, nil
}

// Append writes one point.
func (l *Log) Append(p *Point) error {
	if err := writeLine(l.file, p); err != nil {
		return fmt.Errorf("report: log a point: %w", err)
	}
	return nil
}

// Close ends the log. Write may replace the file afterwards.
func (l *Log) Close() error { return l.file.Close() }

// writeLine writes a point as a line of JSON, by a single write. Figures that are no
// numbers were not measured and are left out.
func writeLine(w io.Writer, p *Point) error {
	kept := *p
	kept.Figures = maps.Clone(p.Figures)
	maps.DeleteFunc(kept.Figures, func(f Figure, _ float64) bool {
		_, ok := p.measured(f)
		return !ok
	})
	line, err := json.Marshal(&kept)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// figures returns all figures, in the order of the sheet's columns.
func figures() []Figure {
	return []Figure{
		DeliveredPerSecond, LatencyP50, LatencyP90, LatencyP99, LatencyP999, LatencyMax,
		NodeCPU, RedisCPU, RedisCommands, RedisBytesIn, RedisBytesOut, Wasted,
		Sent, Delivered, OfflineReceipts, Lost, Duplicated, Misordered, Misrouted, Misanswered,
		BytesPerConnection, ConnectsPerSecond, ConnectP99, GeneratorCPU, GeneratorLateP99,
		LookupsPerMessage, PublishesPerMessage, RefreshRedisCPU, RefreshRedisBytesIn, RecoverySeconds,
	}
}

// writeSheet writes points as CSV, a line each. What was not measured is empty.
func writeSheet(w io.Writer, points []Point) error {
	sheet := csv.NewWriter(w)
	head := []string{
		"workload", "arm", "repetition", "nodes", "clients", "message_bytes",
		"rate_per_second", "offline_share", "distribution", "seconds", "marks", "late", "faults",
	}
	for _, f := range figures() {
		head = append(head, string(f))
	}
	_ = sheet.Write(head) // csv.Writer keeps its error
	for i := range points {
		p := &points[i]
		row := []string{
			string(p.Workload), string(p.Arm), strconv.Itoa(p.Repetition),
			strconv.Itoa(p.Nodes), strconv.Itoa(p.Clients), strconv.Itoa(p.MessageBytes),
			exact(p.RatePerSecond), exact(p.OfflineShare), p.Distribution, exact(p.Seconds),
			strings.Join(p.Marks, "; "), p.Late, strings.Join(p.Faults, "; "),
		}
		for _, f := range figures() {
			text := ""
			if v, ok := p.measured(f); ok {
				text = exact(v)
			}
			row = append(row, text)
		}
		_ = sheet.Write(row)
	}
	sheet.Flush()
	return sheet.Error()
}

func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Write writes the whole report of a run, also of a broken one, to a folder in which
// NewLog has begun its log: points.jsonl, points.csv, a picture for each chart, and
// report.html, which needs none of the others. Each file is there whole or not at all.
func Write(dir string, run *Run) error {
	pictures, err := draw(run)
	if err != nil {
		return fmt.Errorf("report: draw: %w", err)
	}
	files := map[string]func(io.Writer) error{
		pointsFile: func(w io.Writer) error {
			for i := range run.Points {
				if err := writeLine(w, &run.Points[i]); err != nil {
					return err
				}
			}
			return nil
		},
		sheetFile: func(w io.Writer) error { return writeSheet(w, run.Points) },
		pageFile:  func(w io.Writer) error { return writePage(w, run, pictures) },
	}
	for _, p := range pictures {
		files[p.name+".svg"] = func(w io.Writer) error {
			_, err := w.Write(p.svg)
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := replace(filepath.Join(dir, name), files[name]); err != nil {
			return fmt.Errorf("report: write %s: %w", name, err)
		}
	}
	return nil
}

// replace writes a file under another name first.
func replace(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // nothing of it is of use
	}
	return err
}
