package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/http"
	"sync"
)

//go:embed page.html
var pageHTML []byte

// pageMark is where the page expects what it shows, as JSON.
var pageMark = []byte("{{cluster}}")

// pagePolicy lets the page run its own script and talk to its own node, nothing
// else. Browsers disagree on whether 'self' covers ws:.
const pagePolicy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " +
	"connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'"

// page is the demo's page, which every node serves. Its links are known only
// once all nodes have started.
type page struct {
	mu      sync.RWMutex
	nodes   []pageNode
	clients []pageClient
}

type pageNode struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

type pageClient struct {
	Name string `json:"name"`
	Node string `json:"node"`
}

// pageData is what one node's page shows.
type pageData struct {
	Self    int          `json:"self"` // index in Nodes
	Nodes   []pageNode   `json:"nodes"`
	Clients []pageClient `json:"clients"`
}

func (p *page) setNodes(nodes []*demoNode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range nodes {
		p.nodes = append(p.nodes, pageNode{n.name, n.url()})
	}
}

func (p *page) setClients(clients []*demoClient) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range clients {
		p.clients = append(p.clients, pageClient{c.Name, c.home.name})
	}
}

// handler serves the page of the i-th node.
func (p *page) handler(i int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := p.render(i)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(body) // who asked may be gone
	})
}

// render puts the cluster into the page. JSON as Go writes it has no '<', so it
// can't end the script element that holds it.
func (p *page) render(i int) ([]byte, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	data, err := json.Marshal(pageData{i, p.nodes, p.clients})
	if err != nil {
		return nil, err
	}
	return bytes.Replace(pageHTML, pageMark, data, 1), nil
}
