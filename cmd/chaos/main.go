//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/chaos"
	"github.com/beeline-ws/beeline/cmd/internal/nodeproc"
	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/router/ledger"
)

// Exit codes.
const (
	exitBroken = 1 // promises were broken
	exitFailed = 2 // the run could not be made, or proves little
)

var errBroken = errors.New("promises were broken")

const shortLength = 60 * time.Second

type flags struct {
	length, interval time.Duration
	short            bool
	seed             uint64
	binary, dir      string
	race             bool
	sites, plant     []string
	people           int
	confirm, repeat  float64
	env              []string
}

func main() {
	logging.Disable() // go-redis repeats to standard error what it returns as errors
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(os.Stdout).ExecuteContext(ctx)
	stop()
	switch {
	case errors.Is(err, errBroken): // what is broken has been said
		os.Exit(exitBroken)
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", quote.Line(err.Error()))
		os.Exit(exitFailed)
	}
}

func command(out io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Inject faults into clusters of nodes and check every message",
		Long: "chaos starts clusters of nodes with a Redis each, lets clients talk and injects faults.\n" +
			"It needs redis-server 7 or later.\n\n" +
			"The exit code is 0 if every promise was kept, 1 if one was broken, 2 if the run failed or proves little.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), f, out) },
	}
	cmd.Flags().DurationVar(&f.length, "time", 15*time.Minute, "inject faults for this long")
	cmd.Flags().BoolVar(&f.short, "short", false, fmt.Sprintf("inject faults for %v", shortLength))
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "decides the faults; 0 draws one")
	cmd.Flags().StringVar(&f.binary, "binary", "", "a beeline `file`; none builds it")
	cmd.Flags().BoolVar(&f.race, "race", false, "build beeline with the race detector")
	cmd.Flags().StringVar(&f.dir, "dir", "", "an existing `directory` for a new one with the logs; none takes that for temporary files")
	cmd.Flags().StringSliceVar(&f.sites, "sites", nil, "only these of "+strings.Join(chaos.SiteNames(), ", "))
	cmd.Flags().StringSliceVar(&f.plant, "plant", nil, "break these promises on purpose, which must be found: "+plantable())
	cmd.Flags().IntVar(&f.people, "people", 20, "clients of each cluster, besides one for each node")
	cmd.Flags().DurationVar(&f.interval, "interval", 300*time.Millisecond, "mean time between a client's bursts of 1 to 4 messages")
	cmd.Flags().Float64Var(&f.confirm, "confirm", 0.2, "`share` of the messages that ask for the receiver's acknowledgement")
	cmd.Flags().Float64Var(&f.repeat, "repeat", 0.3, "`share` of the unanswered messages that are sent again after a reconnect")
	cmd.Flags().StringArrayVar(&f.env, "set", nil, "a setting of the nodes, `BEELINE_…=value`; may be repeated")
	return cmd
}

func plantable() string {
	var names []string
	for _, kind := range chaos.Plantable() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

func run(ctx context.Context, f flags, out io.Writer) error {
	opts, err := f.options(out)
	if err != nil {
		return err
	}
	if opts.Binary == "" {
		fmt.Fprintln(out, "building beeline")
		var args []string
		if f.race {
			args = append(args, "-race")
		}
		if opts.Binary, err = nodeproc.Build(ctx, opts.Dir, args...); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "seed %d, logs in %s\n", opts.Seed, opts.Dir)
	result, err := chaos.Run(ctx, opts)
	if result == nil {
		return err
	}
	result.Write(out)
	fmt.Fprintf(out, "\nrepeat the faults with --seed %d --time %v\n", opts.Seed, opts.Length)
	return conclude(result, err, f.dir == "", out)
}

// conclude says what a run proves, and removes what it left behind if that is not
// wanted any more. ended is why it was not a whole one.
func conclude(result *chaos.Result, ended error, temporary bool, out io.Writer) error {
	opts := result.Options
	if len(opts.Plant) > 0 {
		if !result.Found() {
			fmt.Fprintf(out, "FAILED: something that was planted was not found; logs in %s\n", opts.Dir)
			return errors.Join(ended, errBroken)
		}
		fmt.Fprintln(out, "every kind that was planted was found")
		return ended
	}
	if n := result.Violations(); n > 0 {
		fmt.Fprintf(out, "FAILED: %d violations; logs in %s\n", n, opts.Dir)
		return errors.Join(ended, errBroken)
	}
	if ended != nil {
		return fmt.Errorf("no promise was broken until then; logs in %s: %w", opts.Dir, ended)
	}
	if doubts := result.Doubts(); len(doubts) > 0 {
		return fmt.Errorf("no promise was broken, but that proves little; logs in %s:\n  %s", opts.Dir, strings.Join(doubts, "\n  "))
	}
	fmt.Fprintln(out, "every promise was kept")
	if temporary {
		return os.RemoveAll(opts.Dir)
	}
	return nil
}

// check says what is wrong with the flags.
func (f flags) check() error {
	share := func(x float64) bool { return 0 <= x && x <= 1 }
	switch {
	case f.length <= 0:
		return fmt.Errorf("--time %v: allowed is what is longer than 0", f.length)
	case f.interval <= 0:
		return fmt.Errorf("--interval %v: allowed is what is longer than 0", f.interval)
	case f.people < 1:
		return fmt.Errorf("--people %d: allowed is 1 and more", f.people)
	case !share(f.confirm):
		return fmt.Errorf("--confirm %v: allowed is from 0 to 1", f.confirm)
	case !share(f.repeat):
		return fmt.Errorf("--repeat %v: allowed is from 0 to 1", f.repeat)
	}
	for _, name := range f.sites {
		if !slices.Contains(chaos.SiteNames(), name) {
			return fmt.Errorf("--sites %q: allowed are %s", name, strings.Join(chaos.SiteNames(), ", "))
		}
	}
	for _, name := range f.plant {
		if !slices.Contains(chaos.Plantable(), ledger.Kind(name)) {
			return fmt.Errorf("--plant %q: allowed are %s", name, plantable())
		}
	}
	for _, setting := range f.env {
		name, _, _ := strings.Cut(setting, "=")
		switch name {
		case "BEELINE_HEARTBEAT", "BEELINE_MESSAGE_TIMEOUT", "BEELINE_KEY_PREFIX", "BEELINE_LOG_LEVEL", "BEELINE_LOG_FORMAT":
			return fmt.Errorf("--set %s: not allowed, because the run presumes its own; any other BEELINE_…=value is", name)
		}
		if !strings.HasPrefix(setting, "BEELINE_") || !strings.Contains(setting, "=") {
			return fmt.Errorf("--set %q: allowed is BEELINE_…=value", setting)
		}
	}
	return nil
}

func (f flags) options(out io.Writer) (opts chaos.Options, err error) {
	if err := f.check(); err != nil {
		return opts, err
	}
	opts = chaos.Options{
		Length: f.length, Seed: f.seed, Binary: f.binary, Dir: f.dir, Sites: f.sites, People: f.people, Interval: f.interval,
		Confirm: f.confirm, Repeat: f.repeat, Env: f.env, Rules: chaos.DefaultRules(),
		Progress: func(line string) { fmt.Fprintln(out, line) },
	}
	if f.short {
		opts.Length = shortLength
	}
	for opts.Seed == 0 {
		opts.Seed = rand.Uint64N(1_000_000)
	}
	for _, name := range f.plant {
		opts.Plant = append(opts.Plant, ledger.Kind(name))
	}
	if opts.Dir, err = os.MkdirTemp(f.dir, "beeline-chaos-"); err != nil {
		err = fmt.Errorf("--dir: %w", err)
	}
	return opts, err
}
