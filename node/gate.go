package node

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/beeline-ws/beeline/router"
)

// identify tells who connects, before the connection is upgraded. An error that
// is a *refusal is the answer.
type identify func(h *head) (client string, err error)

// identifyByQuery believes what the query says, ?client=alice: BEELINE_AUTH=none.
// The value is percent-decoded, and a '+' is a space, as in HTML forms.
func identifyByQuery(h *head) (string, error) {
	query, err := url.ParseQuery(h.query)
	if err != nil {
		return "", refuse(resultBadClient, http.StatusBadRequest,
			"bad client: the query can't be decoded; allowed is ?client= and a percent-encoded name")
	}
	client := query.Get("client")
	if err := router.CheckClient(client); err != nil {
		return "", refuse(resultBadClient, http.StatusBadRequest,
			"bad client: %v; name it with ?client=", err)
	}
	return client, nil
}

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
