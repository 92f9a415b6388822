package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/metrics"
)

// maxLogValue is the longest value of a line, in bytes. What comes from outside,
// such as an error of Redis, may have any length.
const maxLogValue = 2 << 10

// openLog returns a logger to w that never waits, and what writes its last lines.
func openLog(w io.Writer, c *config, m *metrics.Log) (log *slog.Logger, end func()) {
	q := newLogQueue(w, func(lines int) []byte {
		var line bytes.Buffer
		newLogger(&line, c).Error("log lines were dropped: nobody read them in time", "lines", lines)
		return line.Bytes()
	}, m.DroppedLines)
	return newLogger(q, c), q.close
}

// newLogger returns a logger that writes each line to w at once. Either format
// quotes what a terminal would obey.
func newLogger(w io.Writer, c *config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.level(), ReplaceAttr: clipped}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(jsonEscaper{w}, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// clipped shortens a value that is too long for a line, and writes out what JSON would
// write as numbers: durations, and bytes that have a name.
func clipped(_ []string, a slog.Attr) slog.Attr {
	var text string
	switch value := a.Value.Any().(type) {
	case string:
		text = value
	case error:
		text = value.Error()
	case time.Time:
		return a
	case fmt.Stringer:
		text = value.String()
	default:
		return a
	}
	a.Value = slog.StringValue(text)
	if len(text) > maxLogValue {
		end := maxLogValue
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		a.Value = slog.StringValue(fmt.Sprintf("%s… (%d bytes)", text[:end], len(text)))
	}
	return a
}

// jsonEscaper escapes in lines of JSON what encoders of JSON let through and a
// terminal obeys.
type jsonEscaper struct{ io.Writer }

func (e jsonEscaper) Write(line []byte) (int, error) {
	if _, err := io.WriteString(e.Writer, quote.JSON(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}
