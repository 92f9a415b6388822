package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/client"
	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/router"
)

const (
	// maxStdin bounds what send reads of its input.
	maxStdin = 64 << 20
	// maxSends bounds how often send sends a message.
	maxSends = 1_000_000
)

type sendFlags struct {
	url, from string
	timeout   time.Duration
	asJSON    bool
	confirm   bool
	count     int
}

func (a *app) sendCommand() *cobra.Command {
	var flags sendFlags
	cmd := &cobra.Command{
		Use:   "send --from NAME TO DATA",
		Short: "Send a message and print what became of it",
		Long: "send connects as a client, sends a message and prints its outcome. DATA is sent\n" +
			"as it is if it is JSON, else as a JSON string; - reads it from the input. With\n" +
			"--count it is sent again as soon as the outcome is known, as a message of its own.\n\n" +
			"The exit code is 0 if every message was delivered, or with --confirm confirmed, and\n" +
			"3 after any other outcome.",
		Example: `  beeline send --url ws://127.0.0.1:8080/ws --from ops alice '{"text":"hello"}'`,
		Args:    named("TO", "DATA"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.send(cmd.Context(), flags, args[0], args[1]) },

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&flags.url, "url", "ws://127.0.0.1:8080/ws", "a node's `URL` for clients")
	cmd.Flags().StringVar(&flags.from, "from", "", "the `name` to connect as")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 15*time.Second, "give up if connecting, or an outcome, takes longer than this")
	cmd.Flags().BoolVar(&flags.asJSON, "json", false, "print each outcome as a line of JSON")
	cmd.Flags().BoolVar(&flags.confirm, "confirm", false, "ask the receiver itself for an acknowledgement")
	cmd.Flags().IntVar(&flags.count, "count", 1, "how often to send it")
	return cmd
}

// named wants exactly the named arguments.
func named(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch n := len(args); {
		case n < len(names):
			return fmt.Errorf("%s is missing", names[n])
		case n > len(names):
			return fmt.Errorf("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

func (f sendFlags) check(to string) error {
	if f.from == "" {
		return usageErrorf("--from is missing: the name to connect as")
	}
	if err := router.CheckClient(f.from); err != nil {
		return usageErrorf("--from %q: %w", f.from, err)
	}
	if err := router.CheckAddress(to); err != nil {
		return usageErrorf("TO %q: %w", to, err)
	}
	if f.count < 1 || f.count > maxSends {
		return usageErrorf("--count %d: allowed are 1 to %d", f.count, maxSends)
	}
	if f.timeout <= 0 {
		return usageErrorf("--timeout %v: allowed is a time above 0s", f.timeout)
	}
	if _, err := client.NodeURL(f.url); err != nil {
		return usageErrorf("--url: %w", err)
	}
	return nil
}

func (a *app) send(ctx context.Context, flags sendFlags, to, text string) error {
	if err := flags.check(to); err != nil {
		return err
	}
	data, err := a.data(text)
	if err != nil {
		return err
	}
	c, err := dial(ctx, flags.url, flags.from, flags.timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	wanted := router.Delivered
	if flags.confirm {
		wanted = router.Confirmed
	}
	no := false
	for range flags.count {
		sent, err := sendOne(ctx, c, flags, to, data)
		if err != nil {
			return fmt.Errorf("send to %s: %w", quote.Word(to), err)
		}
		if err := a.printSent(sent, flags.asJSON); err != nil {
			return err
		}
		no = no || sent.Outcome != wanted.String()
	}
	if no {
		return errNo
	}
	return nil
}

func dial(ctx context.Context, url, name string, timeout time.Duration) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return client.Dial(ctx, url, name)
}

// sent is what send prints of one message as JSON.
type sent struct {
	To      string  `json:"to"`
	Outcome string  `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	MS      float64 `json:"ms"` // until the outcome was known
	took    time.Duration
}

func sendOne(ctx context.Context, c *client.Client, flags sendFlags, to string, data json.RawMessage) (sent, error) {
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	began, send := time.Now(), c.SendAndWait
	if flags.confirm {
		send = c.SendAndConfirm
	}
	receipt, err := send(ctx, to, data)
	took := time.Since(began)
	return sent{to, receipt.Outcome, receipt.Reason, float64(took.Microseconds()) / 1000, took}, err
}

func (a *app) printSent(s sent, asJSON bool) error {
	if asJSON {
		return printLine(a.stdout, s)
	}
	reason := ""
	if s.Reason != "" {
		reason = ": " + quote.Line(s.Reason)
	}
	_, err := fmt.Fprintf(a.stdout, "%s%s (to %s, after %s)\n",
		quote.Word(s.Outcome), reason, quote.Word(s.To), s.took.Round(10*time.Microsecond))
	return err
}

// data makes JSON of what the person typed.
func (a *app) data(text string) (json.RawMessage, error) {
	raw := []byte(text)
	if text == "-" {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(a.stdin, maxStdin+1)); err != nil {
			return nil, fmt.Errorf("read the input: %w", err)
		}
		if len(raw) > maxStdin {
			return nil, usageErrorf("the input is longer than %v, which is the most that a message may have", byteSize(maxStdin))
		}
		raw = bytes.TrimRight(raw, "\r\n")
	}
	if json.Valid(raw) {
		return raw, nil
	}
	return json.Marshal(string(raw))
}
