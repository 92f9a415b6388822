package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/hostport"
	"github.com/beeline-ws/beeline/cmd/internal/quote"
)

const healthTimeout = 3 * time.Second

func (a *app) healthCommand() *cobra.Command {
	var base string
	var live bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a node whether it is ready for clients",
		Long: "health asks the admin listener of a node (/readyz) and exits with 0 if it is\n" +
			"ready, else with 1. It is made for a container's health check.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.health(cmd.Context(), base, live) },
	}
	cmd.Flags().StringVar(&base, "url", "", "the admin listener's `URL` (default: made of BEELINE_ADMIN_LISTEN)")
	cmd.Flags().BoolVar(&live, "live", false, "ask whether the process is alive (/healthz), not whether it is ready")
	return cmd
}

func (a *app) health(ctx context.Context, base string, live bool) error {
	target, err := a.healthURL(base, live)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	status, text, err := get(ctx, target)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("health: %s answers %d: %s", target, status, text)
	}
	_, err = fmt.Fprintln(a.stdout, quote.Line(text))
	return err
}

func (a *app) healthURL(base string, live bool) (string, error) {
	if base == "" {
		c, wrong := readConfig(a.env)
		if err := wrong.of("BEELINE_ADMIN_LISTEN").err(); err != nil {
			return "", err
		}
		base = (&url.URL{Scheme: "http", Host: reachable(c.Admin)}).String()
	}
	u, err := hostport.ParseURL(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", usageErrorf("--url %q: allowed is http://host:port", base)
	}
	if live {
		return u.JoinPath("healthz").String(), nil
	}
	return u.JoinPath("readyz").String(), nil
}

// reachable turns an address to listen on into one to connect to.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// maxAnswer bounds what is read of an answer, in bytes: a node that is not ready has a
// line for each cause.
const maxAnswer = 4 << 10

// get returns the status and the text of what target answers.
func get(ctx context.Context, target string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, "", err
	}
	// A connection of its own: nothing is left behind when the command ends, and
	// no proxy of the environment is asked about this host.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", withoutURL(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, "", err
	}
	return resp.StatusCode, strings.TrimSpace(string(body)), nil
}

// withoutURL drops the repetition of method and URL.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
