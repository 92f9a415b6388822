package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/directory"
	"github.com/beeline-ws/beeline/router"
)

// askTimeout bounds what a tool waits for Redis.
const askTimeout = 10 * time.Second

func (a *app) whoisCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "whois ADDRESS",
		Short: "Show which live nodes own an address",
		Long: "whois asks the registry (BEELINE_REDIS_URL, BEELINE_KEY_PREFIX) which live nodes\n" +
			"hold a session of ADDRESS. The exit code is 3 if there is none.",
		Args: named("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.whois(cmd.Context(), args[0], asJSON) },

		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) nodesCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the live nodes",
		Long:  "nodes asks the registry (BEELINE_REDIS_URL, BEELINE_KEY_PREFIX) which nodes live.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.nodes(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// nodeView is registry.NodeInfo as it is printed.
type nodeView struct {
	ID       string    `json:"id"`
	URL      string    `json:"url"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Sessions int       `json:"sessions"`
	Draining bool      `json:"draining"`

	// Those of an older version are empty.
	Delivery   string `json:"delivery"`
	Duplicates string `json:"duplicates"`
	Heartbeat  string `json:"heartbeat"`
	Envelopes  string `json:"envelopes"`  // the versions that it reads, such as 1-2
	ClusterKey string `json:"clusterKey"` // fingerprints, separated by commas
}

func viewOf(info registry.NodeInfo) nodeView {
	s := info.Settings
	return nodeView{
		ID: info.ID, URL: info.URL, Version: info.Version, Started: info.Started.UTC(),
		Sessions: info.Sessions, Draining: info.Draining,
		Delivery: s.Delivery, Duplicates: string(s.Duplicates), Heartbeat: s.Heartbeat.String(),
		Envelopes: s.Envelopes.String(), ClusterKey: s.Keys,
	}
}

func viewsOf(infos []registry.NodeInfo) []nodeView {
	views := make([]nodeView, 0, len(infos)) // not nil: JSON shows []
	for _, info := range infos {
		views = append(views, viewOf(info))
	}
	return views
}

// answer is what whois prints as JSON.
type answer struct {
	Address string     `json:"address"`
	Owners  []nodeView `json:"owners"`
}

func (a *app) whois(ctx context.Context, address string, asJSON bool) error {
	if err := router.CheckAddress(address); err != nil {
		return usageErrorf("ADDRESS %q: %w", address, err)
	}
	d, done, err := a.openDirectory()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	entry, err := d.Lookup(ctx, address)
	if err != nil {
		return fmt.Errorf("look up %s: %w", quote.Word(address), err)
	}
	owners := viewsOf(entry.Nodes)
	if err := a.printOwners(address, owners, asJSON); err != nil {
		return err
	}
	if len(owners) == 0 {
		return errNo
	}
	return nil
}

func (a *app) printOwners(address string, owners []nodeView, asJSON bool) error {
	switch {
	case asJSON:
		return printJSON(a.stdout, answer{address, owners})
	case len(owners) == 0:
		_, err := fmt.Fprintf(a.stdout, "nobody owns %s\n", quote.Word(address))
		return err
	}
	return printNodes(a.stdout, owners)
}

func (a *app) nodes(ctx context.Context, asJSON bool) error {
	d, done, err := a.openDirectory()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	infos, err := d.Nodes(ctx)
	if err != nil {
		return err
	}
	views := viewsOf(infos)
	if asJSON {
		return printJSON(a.stdout, views)
	}
	if len(views) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no live nodes")
		return err
	}
	return printNodes(a.stdout, views)
}

// openDirectory returns a directory. Only the settings that it needs are held against what
// is allowed.
func (a *app) openDirectory() (*directory.Directory, func(), error) {
	c, wrong := readConfig(a.env)
	if err := wrong.of(append(slices.Clone(redisSettings), "BEELINE_KEY_PREFIX", "BEELINE_HEARTBEAT")...).err(); err != nil {
		return nil, nil, err
	}
	client, err := c.connectRedis()
	if err != nil {
		return nil, nil, err
	}
	reg, err := registry.New(registry.Options{Redis: client, NodeID: "beeline-cli", Prefix: c.Prefix, Heartbeat: c.Heartbeat})
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return directory.New(reg, nil), func() { client.Close() }, nil
}

// printJSON prints value over several lines, for people and programs.
func printJSON(w io.Writer, value any) error { return encode(w, value, "  ") }

// printLine prints value in one line.
func printLine(w io.Writer, value any) error { return encode(w, value, "") }

func encode(w io.Writer, value any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(w, quote.JSON(b.String()))
	return err
}

func printNodes(w io.Writer, nodes []nodeView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tURL\tVERSION\tSESSIONS\tUP SINCE\tSTATE")
	for _, n := range nodes {
		state := "serving"
		if n.Draining {
			state = "draining"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n",
			quote.Word(n.ID), quote.Word(n.URL), quote.Word(n.Version), n.Sessions, n.Started.Format(time.RFC3339), state)
	}
	return t.Flush()
}
