package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/node"
)

// configCommand holds what is asked about the settings themselves.
func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Ask about the settings",
		Long:  "config holds commands about the settings, which `beeline serve --help` lists.",
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Check the settings without serving",
		Long: "check reads the settings as serve does, and ends where serve would connect and\n" +
			"listen: it says that they are right, or all that is wrong with them. It asks neither\n" +
			"Redis nor the network. The exit code is 2 if anything is wrong.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.checkSettings() },
	})
	return cmd
}

func (a *app) checkSettings() error {
	c, client, err := a.readSettings()
	if err != nil {
		return err
	}
	series := prometheus.NewRegistry()
	_, err = newNode(&c, client, slog.New(slog.DiscardHandler), series)
	if err := errors.Join(err, client.Close()); err != nil {
		return exitError{exitUsage, err}
	}
	_, err = fmt.Fprintln(a.stdout, "the settings are right")
	return err
}

// readSettings reads the settings, and makes the client that they name a Redis for. It
// connects when it is first used.
func (a *app) readSettings() (config, redis.UniversalClient, error) {
	c, wrong := readConfig(a.env)
	if err := wrong.err(); err != nil {
		return c, nil, err
	}
	client, err := c.connectRedis()
	return c, client, err
}

// newNode makes a node that does nothing until it is started.
func newNode(c *config, client redis.UniversalClient, log *slog.Logger, series *prometheus.Registry) (*node.Node, error) {
	opts := c.nodeOptions()
	opts.RedisName = redisName(c.RedisURL)
	opts.Redis, opts.Logger, opts.Registerer, opts.Gatherer = client, log, series, series
	return node.New(opts)
}

// redisName is a URL of Redis without what must not be in a log: user, password, and
// what follows a question mark.
func redisName(rawURL string) string {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return "unnamed"
	}
	place, _, _ := strings.Cut(rest[strings.LastIndex(rest, "@")+1:], "?")
	return scheme + "://" + place
}
