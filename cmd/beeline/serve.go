package main

import (
	"context"
	"fmt"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/node"
)

// stopSlack is what stopping may take beside the drain: what is under way with
// Redis, and the clients' last frames.
const stopSlack = 10 * time.Second

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run one node",
		Long: "serve runs one node until SIGTERM or SIGINT, then closes its sessions over\n" +
			"BEELINE_DRAIN_PERIOD and leaves the cluster. A second signal, a second or more\n" +
			"after the first, ends it at once. SIGHUP is logged and changes nothing.\n\n" +
			"Settings are environment variables; an empty one counts as not set.\n\n" + settingsHelp(),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context()) },
	}
}

func (a *app) serve(ctx context.Context) error {
	c, client, err := a.readSettings()
	if err != nil {
		return err
	}
	defer client.Close()
	a.ignoreBrokenPipes()
	series := processSeries()
	log, endLog := openLog(a.stderr, &c, metrics.NewLog(series))
	defer endLog()
	limitMemory(log, memlimit.FromCgroup)
	n, err := newNode(&c, client, log, series)
	if err != nil {
		return err
	}
	hangup := func() {
		log.Info("SIGHUP ignored: settings are read at the start alone; restart the node to change one")
	}
	return untilSignal(ctx, signals{log: log, hangup: hangup}, func(ctx context.Context) error {
		return startAndStop(ctx, n, c.DrainPeriod+stopSlack)
	})
}

// processSeries returns a registry with the Go runtime's and the process' own
// series.
func processSeries() *prometheus.Registry {
	series := prometheus.NewRegistry()
	series.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return series
}

// startAndStop runs n while ctx lives, and gives it stopTime to stop.
func startAndStop(ctx context.Context, n *node.Node, stopTime time.Duration) error {
	if err := n.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it was ready
		}
		return fmt.Errorf("start node: %w", err)
	}
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := n.Stop(stopping); err != nil {
		return fmt.Errorf("stop node: %w", err)
	}
	return nil
}
