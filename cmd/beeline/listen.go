package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/client"
	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/router"
)

type listenFlags struct {
	url, client string
	timeout     time.Duration
	asJSON      bool
	count       int
	noAck       bool
}

func (a *app) listenCommand() *cobra.Command {
	var flags listenFlags
	cmd := &cobra.Command{
		Use:   "listen --client NAME",
		Short: "Connect as a client and print what arrives",
		Long: "listen connects as a client and prints the messages that arrive until it is\n" +
			"interrupted, or has printed --count of them. It acknowledges those that ask for it,\n" +
			"once they are printed.\n\n" +
			"With --json each line is a frame of the protocol as it came, but for line ends and\n" +
			"characters that a terminal obeys. The exit code is 1 if the node closes the\n" +
			"connection.",
		Example: "  beeline listen --url ws://127.0.0.1:8080/ws --client alice --json | jq .data",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listen(cmd.Context(), flags) },
	}
	cmd.Flags().StringVar(&flags.url, "url", "ws://127.0.0.1:8080/ws", "a node's `URL` for clients")
	cmd.Flags().StringVar(&flags.client, "client", "", "the `name` to connect as")
	cmd.Flags().DurationVar(&flags.timeout, "timeout", 15*time.Second, "give up if connecting takes longer than this")
	cmd.Flags().BoolVar(&flags.asJSON, "json", false, "print each frame as a line of JSON")
	cmd.Flags().IntVar(&flags.count, "count", 0, "end after so many messages; 0: never")
	cmd.Flags().BoolVar(&flags.noAck, "no-ack", false, "acknowledge no message")
	return cmd
}

func (f listenFlags) check() error {
	if f.client == "" {
		return usageErrorf("--client is missing: the name to connect as")
	}
	if err := router.CheckClient(f.client); err != nil {
		return usageErrorf("--client %q: %w", f.client, err)
	}
	if f.count < 0 {
		return usageErrorf("--count %d: allowed is 0 or more", f.count)
	}
	if f.timeout <= 0 {
		return usageErrorf("--timeout %v: allowed is a time above 0s", f.timeout)
	}
	if _, err := client.NodeURL(f.url); err != nil {
		return usageErrorf("--url: %w", err)
	}
	return nil
}

func (a *app) listen(ctx context.Context, flags listenFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	return untilSignal(ctx, signals{}, func(ctx context.Context) error {
		c, err := dial(ctx, flags.url, flags.client, flags.timeout)
		if err != nil {
			return unlessEnded(ctx, err)
		}
		defer c.Close()
		stop := context.AfterFunc(ctx, c.Close) // ends the reading
		defer stop()
		fmt.Fprintf(a.stderr, "%s listens on %s\n", quote.Word(c.Name), quote.Word(c.Node))
		return unlessEnded(ctx, a.hear(c, flags))
	})
}

// hear prints what arrives until the connection ends, or enough has come.
func (a *app) hear(c *client.Client, flags listenFlags) error {
	for messages := 0; flags.count == 0 || messages < flags.count; {
		text, err := c.NextText()
		if err != nil {
			return err
		}
		f, err := client.Parse(text)
		if err != nil {
			return err
		}
		if err := a.printFrame(f, text, flags.asJSON); err != nil {
			return err
		}
		if f.Type == "message" {
			messages++
			if f.Confirm && !flags.noAck {
				if err := c.Ack(f.ID); err != nil {
					return fmt.Errorf("acknowledge: %w", err)
				}
			}
		}
	}
	return nil
}

func (a *app) printFrame(f client.Frame, text []byte, asJSON bool) error {
	line := time.Now().Format(time.TimeOnly) + "  "
	switch {
	case asJSON:
		line = oneLine(text)
	case f.Type == "message":
		line += fmt.Sprintf("from %s: %s", quote.Word(f.From), oneLine(f.Data))
	case f.Type == "dropped":
		line += fmt.Sprintf("%d messages were dropped: they came faster than this client read", f.Count)
	case f.Type == "bye":
		line += "the node says bye: " + quote.Line(f.Reason)
	case f.Type == "error":
		line += fmt.Sprintf("error %s: %s", quote.Word(f.Code), quote.Line(f.Message))
	default:
		line += oneLine(text)
	}
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}

// oneLine returns JSON without line ends between its values, and without what a
// terminal obeys.
func oneLine(text []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return quote.Line(string(text))
	}
	return quote.JSON(b.String())
}

// unlessEnded drops the error of what was told to end.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
