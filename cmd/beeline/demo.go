package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/hostport"
	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/router"
)

const maxDemoNodes = 20

type demoFlags struct {
	nodes      int
	listenBase string
	delivery   string
	once       bool
	embedded   bool
}

func (a *app) demoCommand() *cobra.Command {
	var flags demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Try a cluster in one process",
		Long: "demo starts a cluster in this process, connects three clients to it, shows the\n" +
			"way of a message through it, and serves a page to take part.\n\n" +
			"It uses a private redis-server if one is installed, else an embedded substitute,\n" +
			"and leaves nothing behind.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), flags) },
	}
	cmd.Flags().IntVar(&flags.nodes, "nodes", 3, "number of nodes")
	cmd.Flags().StringVar(&flags.listenBase, "listen-base", "",
		"`port` or host:port of the first node, the others follow (default: free ports of 127.0.0.1)")
	cmd.Flags().StringVar(&flags.delivery, "delivery", string(router.Targeted), "targeted, broadcast or subscribe")
	_ = cmd.RegisterFlagCompletionFunc("delivery", cobra.FixedCompletions( // the flag exists
		[]cobra.Completion{string(router.Targeted), string(router.Broadcast), string(router.Subscribe)}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&flags.once, "once", false, "exit after the show")
	cmd.Flags().BoolVar(&flags.embedded, "embedded", false, "use the embedded Redis even if a redis-server is installed")
	return cmd
}

func (f demoFlags) check() error {
	if f.nodes < 1 || f.nodes > maxDemoNodes {
		return usageErrorf("--nodes %d: allowed are 1 to %d", f.nodes, maxDemoNodes)
	}
	switch router.Delivery(f.delivery) {
	case router.Targeted, router.Broadcast, router.Subscribe:
	default:
		return usageErrorf("--delivery %q: allowed are targeted, broadcast and subscribe", f.delivery)
	}
	_, err := f.listen(f.nodes - 1)
	return err
}

// listen returns the address of the i-th node.
func (f demoFlags) listen(i int) (string, error) {
	base := f.listenBase
	if base == "" {
		return "127.0.0.1:0", nil
	}
	if !strings.Contains(base, ":") {
		base = "127.0.0.1:" + base
	}
	host, port, err := hostport.Split(base)
	if err != nil || port < 1 || port+f.nodes-1 > 65535 {
		return "", usageErrorf("--listen-base %q: allowed is a port, or host:port, with room for %d nodes up to 65535", f.listenBase, f.nodes)
	}
	return net.JoinHostPort(host, strconv.Itoa(port+i)), nil
}

// demo ends the private Redis itself, so that not even a second signal leaves it
// behind.
func (a *app) demo(ctx context.Context, flags demoFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	starting, started := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer started()
	server, err := startDemoRedis(starting, flags.embedded)
	if err != nil {
		return unlessEnded(starting, err)
	}
	defer server.stop()
	if starting.Err() != nil {
		return nil
	}
	started() // from here on a second signal means more than the first
	return untilSignal(ctx, signals{}, func(ctx context.Context) error { return a.demoOn(ctx, server, flags) })
}

func (a *app) demoOn(ctx context.Context, server *demoRedis, flags demoFlags) (err error) {
	log, endLog := openLog(a.stderr, &config{LogLevel: "warn"}, metrics.NewLog(prometheus.NewRegistry()))
	defer endLog()
	c := &demoCluster{server: server, flags: flags, log: log}
	defer func() { err = errors.Join(err, c.stop(context.WithoutCancel(ctx))) }()
	if err := c.start(ctx); err != nil {
		return unlessEnded(ctx, fmt.Errorf("start the demo: %w", err))
	}
	s := &show{cluster: c, out: a.stdout, paint: a.painter()}
	if err := s.play(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	if flags.once {
		return nil
	}
	return s.stay(ctx)
}
