package node

import (
	"fmt"
	"net/http"
)

// pageHandler answers on the clients' listener what is no WebSocket. A request with a
// body is the last one of its connection: see pageConn.
func (n *Node) pageHandler() http.Handler {
	mux := http.NewServeMux()
	if n.opts.Page != nil {
		mux.Handle("/{$}", readOnly(n.opts.Page))
	}
	mux.Handle("/node", readOnly(http.HandlerFunc(n.self)))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not found; WebSockets are at /ws", http.StatusNotFound)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
		}
		mux.ServeHTTP(w, r)
	})
}

// readOnly has h answer GET and HEAD, and refuses all other methods.
func readOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, fmt.Sprintf("method %.20s is not allowed; allowed are GET and HEAD", r.Method), http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// self tells other nodes whether this process is still the one they mean.
func (n *Node) self(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"node":%q}`+"\n", n.id) // letters, digits, '.', '_' and '-'
}
