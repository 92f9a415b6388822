package main

import (
	"io"
	"os"

	"github.com/caarlos0/env/v11"

	"github.com/beeline-ws/beeline/router"
)

// painter colours text if on.
type painter struct{ on bool }

// painter paints on a terminal only, and not where NO_COLOR (no-color.org) is set.
func (a *app) painter() painter {
	vars := env.ToMap(a.env)
	if vars["NO_COLOR"] != "" || vars["TERM"] == "dumb" || vars["TERM"] == "" {
		return painter{}
	}
	return painter{onTerminal(a.stdout)}
}

// onTerminal reports whether people read w as it is written.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p painter) sgr(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p painter) strong(text string) string { return p.sgr("1", text) }
func (p painter) faint(text string) string  { return p.sgr("2", text) }

func (p painter) outcome(text string) string {
	if text == router.Delivered.String() {
		return p.sgr("32", text)
	}
	return p.sgr("33", text)
}
