package main

import (
	"os"

	"github.com/caarlos0/env/v11"

	"github.com/beeline-ws/beeline/router"
)

// painter colours text if on.
type painter struct{ on bool }

// painter paints on a terminal only, and not where NO_COLOR (no-color.org) is set.
func (a *app) painter() painter {
	vars := env.ToMap(a.env)
	f, ok := a.stdout.(*os.File)
	if !ok || vars["NO_COLOR"] != "" || vars["TERM"] == "dumb" || vars["TERM"] == "" {
		return painter{}
	}
	info, err := f.Stat()
	return painter{err == nil && info.Mode()&os.ModeCharDevice != 0}
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
