package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// settingsTable renders every setting as a Markdown table, for the README.
func settingsTable() string {
	var b strings.Builder
	b.WriteString("| variable | meaning | value | default |\n|---|---|---|---|\n")
	for _, s := range settings() {
		initial := s.shown
		if s.initial != "" {
			initial = "`" + s.initial + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.name, s.doc, s.value(), initial)
	}
	return b.String()
}

// value says in what form a setting is given, with its limits.
func (s setting) value() string {
	if s.min == "" {
		return s.unit
	}
	return fmt.Sprintf("%s, %s to %s", s.unit, s.min, s.max)
}

// settingsHelp renders every setting for a terminal.
func settingsHelp() string {
	var b strings.Builder
	for _, s := range settings() {
		initial := s.shown
		if s.initial != "" {
			initial = s.initial
		}
		fmt.Fprintf(&b, "  %s\n%s      %s; default: %s\n", s.name, wrap(s.doc, 6, 78), s.value(), initial)
	}
	return b.String()
}

// wrap breaks text into indented lines of at most width characters.
func wrap(text string, indent, width int) string {
	var b strings.Builder
	margin := strings.Repeat(" ", indent)
	line := margin
	for _, word := range strings.Fields(text) {
		if len(line) > indent && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = margin
		}
		if len(line) > indent {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

func (a *app) settingsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "settings",
		Short:  "Print all settings as a Markdown table",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.stdout, settingsTable())
			return err
		},
	}
}
