package node

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/beeline-ws/beeline/router"
)

// identify tells who connects, before the connection is upgraded. An error that
// is a *refusal is the answer.
type identify func(h *head) (client string, err error)

// identifyByQuery believes what the query says, ?client=alice: BEELINE_AUTH=none.
// The value is percent-decoded, and a '+' is a space, as in HTML forms.
func identifyByQuery(h *head) (string, error) {
	if client, ok := plainClient(h.query); ok && router.CheckClient(client) == nil {
		return client, nil
	}
	query, err := url.ParseQuery(string(h.query))
	if err != nil {
		return "", refuse(resultBadClient, http.StatusBadRequest,
			"bad client: the query can't be decoded; allowed is ?client= and a percent-encoded name")
	}
	client := query.Get("client")
	if err := router.CheckClient(client); err != nil {
		return "", refuse(resultBadClient, http.StatusBadRequest,
			"bad client: %v; name it with ?client=", err)
	}
	return strings.Clone(client), nil // and not the whole query
}

// plainClient finds the client in a query that has nothing to decode.
func plainClient(query []byte) (client string, ok bool) {
	if bytes.ContainsAny(query, "%+;") {
		return "", false
	}
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, ampersand)
		if value, ok := bytes.CutPrefix(pair, clientKey); ok {
			return string(value), true
		}
	}
	return "", false
}

var (
	ampersand = []byte("&")
	clientKey = []byte("client=")
)

// identified returns the client of h, or the refusal.
func (n *Node) identified(h *head) (string, *refusal) {
	client, err := n.identify(h)
	if err == nil {
		return client, nil
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		return "", r
	}
	return "", refuse(resultBadClient, http.StatusUnauthorized, "bad client: %v", err)
}
