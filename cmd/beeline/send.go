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
	"github.com/beeline-ws/beeline/router"
)

// maxStdin bounds what send reads of its input.
const maxStdin = 64 << 20

type sendFlags struct {
	url, from string
	timeout   time.Duration
}

func (a *app) sendCommand() *cobra.Command {
	var flags sendFlags
	cmd := &cobra.Command{
		Use:   "send --from NAME TO DATA",
		Short: "Send one message and print what became of it",
		Long: "send connects as a client, sends one message and prints its outcome.\n" +
			"DATA is sent as it is if it is JSON, else as a JSON string; - reads it from the input.\n\n" +
			"The exit code is 0 if the message was delivered and 3 after any other outcome.",
		Example: `  beeline send --url ws://127.0.0.1:8080/ws --from ops alice '{"text":"hello"}'`,
		Args:    named("TO", "DATA"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.send(cmd.Context(), flags, args[0], args[1]) },
	}
	cmd.Flags().StringVar(&flags.url, "url", "ws://127.0.0.1:8080/ws", "a node's `URL` for clients")
	cmd.Flags().StringVar(&flags.from, "from", "", "the `name` to connect as")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 15*time.Second, "give up after this")
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
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	c, err := client.Dial(ctx, flags.url, flags.from)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := time.Now()
	receipt, err := c.SendAndWait(ctx, to, data)
	if err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	a.printReceipt(receipt, to, time.Since(sent))
	if receipt.Outcome != router.Delivered.String() {
		return errNo
	}
	return nil
}

func (a *app) printReceipt(receipt client.Frame, to string, took time.Duration) {
	reason := ""
	if receipt.Reason != "" {
		reason = ": " + receipt.Reason
	}
	fmt.Fprintf(a.stdout, "%s%s (to %s, after %s)\n", receipt.Outcome, reason, to, took.Round(10*time.Microsecond))
}

// data makes JSON of what the person typed.
func (a *app) data(text string) (json.RawMessage, error) {
	raw := []byte(text)
	if text == "-" {
		var err error
		if raw, err = io.ReadAll(io.LimitReader(a.stdin, maxStdin)); err != nil {
			return nil, fmt.Errorf("read the input: %w", err)
		}
		raw = bytes.TrimRight(raw, "\r\n")
	}
	if json.Valid(raw) {
		return raw, nil
	}
	return json.Marshal(string(raw))
}
