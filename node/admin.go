package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// startAdmin serves metrics and health. It is up before the router is and until
// all else has ended, so that a node that starts or drains can be watched.
func (n *Node) startAdmin() {
	n.serveHTTP("admin", n.admin, n.adminHandler(), n.admins)
}

// adminHandler is where /api/v1 will be mounted.
func (n *Node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	series := promhttp.HandlerFor(n.opts.Gatherer, promhttp.HandlerOpts{})
	mux.Handle("/metrics", readOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.showReadiness()
		series.ServeHTTP(w, r)
	})))
	mux.Handle("/healthz", readOnly(http.HandlerFunc(n.healthz)))
	mux.Handle("/readyz", readOnly(http.HandlerFunc(n.readyz)))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not found; there are /metrics, /healthz and /readyz", http.StatusNotFound)
	})
	return mux
}

// healthz says that the process serves. It does not depend on Redis: starting
// again does not mend Redis, and would cut every session.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// maxAdmin is how many connections the admin listener has at most.
const maxAdmin = 64

// serveHTTP starts an HTTP server on l with at most so many connections as v allows, and
// registers its end.
func (n *Node) serveHTTP(name string, l net.Listener, h http.Handler, v *visitors) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: n.opts.HandshakeTimeout,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       15 * time.Second,
		MaxHeaderBytes:    n.opts.MaxHead,
		ConnState:         v.changed,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("HTTP server failed", "server", name, "error", err)
		}
	})
	n.cleanups.add(name+" server", func(ctx context.Context) error {
		defer running.Wait()
		if err := server.Shutdown(ctx); err != nil {
			return errors.Join(err, server.Close())
		}
		return nil
	})
}
