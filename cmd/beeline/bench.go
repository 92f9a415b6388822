package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/bench"
	"github.com/beeline-ws/beeline/cmd/internal/hostport"
	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// exitInterrupted is what a shell says of a program that Ctrl-C ended.
const exitInterrupted exitCode = 130

type benchFlags struct {
	arms, workloads []string
	out             string
	options         bench.Options
}

func (a *app) benchCommand() *cobra.Command {
	var flags benchFlags
	o := &flags.options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a message costs: targeted against broadcast",
		Long: "bench starts a private redis-server and nodes, all processes of their own on this\n" +
			"machine, drives them with load, and measures what a message costs in each way of\n" +
			"delivery (arm). Every message is checked: one that is lost or delivered wrongly\n" +
			"fails the run. With --url it drives a cluster that runs already.\n\n" +
			"The workloads:\n" + workloadHelp() + "\n" +
			"A parameter takes one value, or a list: the workload that grows over it goes\n" +
			"through the list, the others take its first (churn and kill, which need two nodes,\n" +
			"the first number of nodes above 1).\n\n" +
			"The exit code is 1 if the run broke or found a fault.",
		Example: "  beeline bench --quick\n" +
			"  beeline bench --workloads nodes --nodes 2,8 --out report\n" +
			"  beeline bench --url ws://n1:8080/ws,ws://n2:8080/ws --arms targeted --workloads rate",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bench(cmd.Context(), flags) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&flags.arms, "arms", nil, "`list` of targeted, broadcast, subscribe (default: all)")
	f.StringSliceVar(&flags.workloads, "workloads", nil, "`list` of workloads (default: all)")
	f.IntSliceVar(&o.Nodes, "nodes", nil, "`number` of nodes (default: 4; growth: 1,2,4,8,16)")
	f.IntSliceVar(&o.Clients, "clients", nil, "`number` of clients (default: 1000; growth: 250,1000,4000)")
	f.Float64SliceVar(&o.Rates, "rate", nil, "`messages` a second of all senders (default: 1000; growth: 500,2000)")
	f.IntSliceVar(&o.Sizes, "size", nil, "`bytes` of a message (default: 128, in the growth over nodes 512; growth: 128,1024,8192)")
	f.Float64SliceVar(&o.OfflineShares, "offline-share", nil, "`share` of the receivers that is not connected (default: 0.25,0.5)")
	f.DurationVar(&o.Duration, "duration", 0, "measured `time` of each point (default: 3s; with --quick 1s)")
	f.IntVar(&o.Repeat, "repeat", 0, "how `often` each point is measured (default: 3; with --quick once)")
	f.StringVar(&o.Distribution, "distribution", bench.Uniform, "how senders and receivers are drawn: uniform or zipf")
	f.BoolVar(&o.Quick, "quick", false, "little of everything, with smaller defaults than these, within two minutes")
	f.StringVar(&flags.out, "out", "", "`folder` for the report: HTML, pictures, CSV, JSON lines")
	f.StringSliceVar(&o.URLs, "url", nil, "`URLs` of the nodes of a cluster that runs")
	f.StringSliceVar(&o.Admins, "admin", nil, "`URLs` of those nodes' admin listeners, to read their metrics")
	f.StringVar(&o.RedisURL, "redis-url", "", "`URL` of that cluster's Redis, to read its counters")
	return cmd
}

func workloadHelp() string {
	var b strings.Builder
	for _, w := range bench.Workloads() {
		fmt.Fprintf(&b, "  %-11s %s\n", w, bench.About(w))
	}
	return b.String()
}

// oneOf translates a list of names, or says which of them is none, and what it may
// have meant.
func oneOf[T ~string](flag string, names []string, allowed []T) ([]T, error) {
	var texts []string
	for _, one := range allowed {
		texts = append(texts, string(one))
	}
	var found []T
	for _, name := range names {
		name = strings.TrimSpace(name)
		i := slices.Index(texts, name)
		if i < 0 {
			hint := ""
			if near := nearest(name, texts); near != "" {
				hint = fmt.Sprintf(" (did you mean %s?)", near)
			}
			return nil, usageErrorf("--%s %q%s; allowed: %s", flag, name, hint, strings.Join(texts, ", "))
		}
		found = append(found, allowed[i])
	}
	return found, nil
}

func (a *app) bench(ctx context.Context, flags benchFlags) error {
	o := flags.options
	var err error
	if o.Arms, err = oneOf("arms", flags.arms, bench.Arms()); err != nil {
		return err
	}
	if o.Workloads, err = oneOf("workloads", flags.workloads, bench.Workloads()); err != nil {
		return err
	}
	if err := o.Check(); err != nil {
		return usageErrorf("%w", err)
	}
	if flags.out != "" {
		if err := report.Prepare(flags.out); err != nil {
			return usageErrorf("--out: %w", err)
		}
	}
	if o.Binary, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program, to start nodes from it: %w", err)
	}
	o.Version, o.Command = versionString(), commandLine(a.args)
	return untilSignal(ctx, signals{}, func(ctx context.Context) error { return a.benchAndReport(ctx, o, flags.out) })
}

// benchAndReport reports what was measured, also if the run did not come to its end.
func (a *app) benchAndReport(ctx context.Context, o bench.Options, out string) error {
	p := a.newBenchProgress(out)
	run, failed := bench.Run(ctx, o, p)
	p.end()
	if run == nil {
		return failed
	}
	err := a.reportBench(run, out)
	if failed != nil && ctx.Err() != nil {
		failed = exitError{exitInterrupted, fmt.Errorf("interrupted after %d points", len(run.Points))}
	}
	return errors.Join(failed, err)
}

func (a *app) reportBench(run *report.Run, out string) error {
	if len(run.Points) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	if err := report.WriteTable(a.stdout, run); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\n%s\n", report.Verdict(run))
	for i := range run.Points {
		p := &run.Points[i]
		for _, fault := range p.Faults {
			fmt.Fprintf(a.stdout, "FAULT  %s, %s: %s\n", p.Workload, p.Arm, quote.Line(fault))
		}
	}
	fmt.Fprintf(a.stdout, "\nTook %v.\n", run.Took.Round(time.Second))
	if out == "" {
		return nil
	}
	if err := report.Write(out, run); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "The report is in %s.\n", out)
	return nil
}

// commandLine is this program with args as it can be typed again, but for passwords.
func commandLine(args []string) string {
	line := "beeline"
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok && strings.Contains(value, "://") {
			arg = name + "=" + redactedURLs(value)
		} else if strings.Contains(arg, "://") {
			arg = redactedURLs(arg)
		}
		if strings.ContainsAny(arg, " \t\n\"'\\$&|;<>*?()") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}

// redactedURLs hides the passwords of a list of URLs.
func redactedURLs(list string) string {
	urls := strings.Split(list, ",")
	for i, raw := range urls {
		if u, err := hostport.ParseURL(raw); err == nil {
			urls[i] = u.Redacted()
		}
	}
	return strings.Join(urls, ",")
}
