package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// fault is what is wrong with one setting.
type fault struct{ name, text string }

type faults []fault

// of returns the faults of the named settings.
func (f faults) of(names ...string) faults {
	var some faults
	for _, one := range f {
		if slices.Contains(names, one.name) {
			some = append(some, one)
		}
	}
	return some
}

// inOrder sorts the faults as the settings are listed, unknown ones last.
func (f faults) inOrder() faults {
	place := make(map[string]int)
	list := settings()
	for i, s := range list {
		place[s.name] = i - len(list) // below the zero of a name that is not listed
	}
	slices.SortStableFunc(f, func(a, b fault) int { return cmp.Compare(place[a.name], place[b.name]) })
	return f
}

// err returns all faults as one usage error, or nil.
func (f faults) err() error {
	switch len(f) {
	case 0:
		return nil
	case 1:
		return usageErrorf("%s %s", f[0].name, f[0].text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are wrong:", len(f))
	for _, one := range f {
		fmt.Fprintf(&b, "\n  %s %s", one.name, one.text)
	}
	return exitError{exitUsage, faultList(b.String())}
}

// faultList is an error of several lines.
type faultList string

func (f faultList) Error() string { return string(f) }

// parse fills c and returns what could not be read.
func parse(c *config, vars map[string]string) faults {
	err := env.ParseWithOptions(c, env.Options{Environment: vars})
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return faults{{"BEELINE_…", err.Error()}}
	}
	var found faults
	for _, err := range all.Errors {
		found = append(found, parseFault(err, vars))
	}
	return found
}

// parseFault says in the words of who set the variable what env says in Go's.
func parseFault(err error, vars map[string]string) fault {
	var p env.ParseError
	if errors.As(err, &p) {
		for _, s := range settings() {
			if s.field == p.Name {
				return fault{s.name, fmt.Sprintf("is %q; allowed: %s", vars[s.name], s.allowed())}
			}
		}
	}
	return fault{"BEELINE_…", err.Error()}
}

// checkRanges holds the settings that could be read against their oneof, min
// and max.
func checkRanges(c *config, vars map[string]string, unread faults) faults {
	var found faults
	values := reflect.ValueOf(c).Elem()
	for _, s := range settings() {
		if len(unread.of(s.name)) > 0 {
			continue
		}
		if !s.within(values.Field(s.index).Interface()) {
			found = append(found, fault{s.name, fmt.Sprintf("is %q; allowed: %s", vars[s.name], s.allowed())})
		}
	}
	return later(found)
}

// later tells who asks for what is only planned that it is.
func later(found faults) faults {
	for i, f := range found {
		for _, planned := range []string{"jwt", "webhook"} {
			if f.name == "BEELINE_AUTH" && strings.HasPrefix(f.text, "is "+strconv.Quote(planned)) {
				found[i].text = fmt.Sprintf("is %q, which is not available yet; allowed: none", planned)
			}
		}
	}
	return found
}

// within reports whether value is one that s allows.
func (s setting) within(value any) bool {
	switch v := value.(type) {
	case time.Duration:
		least, _ := time.ParseDuration(s.min)
		most, _ := time.ParseDuration(s.max)
		return least <= v && v <= most
	case int:
		least, _ := strconv.Atoi(s.min)
		most, _ := strconv.Atoi(s.max)
		return least <= v && v <= most
	case byteSize:
		var least, most byteSize
		_ = least.UnmarshalText([]byte(s.min)) // a test reads all tags
		_ = most.UnmarshalText([]byte(s.max))
		return least <= v && v <= most
	}
	return s.oneof == nil || slices.Contains(s.oneof, fmt.Sprint(value))
}

// allowed says what a value may be.
func (s setting) allowed() string {
	switch s.unit {
	case "duration":
		return fmt.Sprintf("a duration with its unit (250ms, 2s, 1m) from %s to %s", s.min, s.max)
	case "bytes":
		return fmt.Sprintf("a size (65536, 64KiB, 1MiB) from %s to %s", s.min, s.max)
	}
	if s.min != "" {
		return fmt.Sprintf("a number from %s to %s", s.min, s.max)
	}
	return s.unit
}

// unknownVariables finds misspelled settings, which would otherwise be defaults
// that somebody believes to have changed.
func unknownVariables(vars map[string]string) faults {
	const prefix = "BEELINE_"
	var known []string
	for _, s := range settings() {
		known = append(known, strings.TrimPrefix(s.name, prefix))
	}
	var found faults
	for name, value := range vars {
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || slices.Contains(known, rest) || setByKubernetes(name, value) {
			continue
		}
		text := "is not a setting"
		if near := nearest(rest, known); near != "" {
			text += "; did you mean " + prefix + near + "?"
		}
		found = append(found, fault{name, text})
	}
	slices.SortFunc(found, func(a, b fault) int { return strings.Compare(a.name, b.name) })
	return found
}

// serviceLink matches the variables that Kubernetes sets in every pod for a
// Service named beeline, or beeline-anything.
var serviceLink = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

func setByKubernetes(name, value string) bool {
	return serviceLink.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}
