package node

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/beeline-ws/beeline/router"
)

// None is the Authenticator that believes what the query says, ?client=alice:
// BEELINE_AUTH=none. Everybody may do everything.
type None struct{}

// AuthenticateNow always knows the answer.
func (None) AuthenticateNow(h *Handshake) (Identity, error) {
	client, err := clientOf(h.Query)
	return Identity{Client: client}, err
}

// Authenticate is AuthenticateNow.
func (a None) Authenticate(_ context.Context, h *Handshake) (Identity, error) {
	return a.AuthenticateNow(h)
}

// clientOf returns the client that a query names. The value is percent-decoded, and a '+'
// is a space, as in HTML forms. An error is a *Denial.
func clientOf(raw []byte) (string, error) {
	if client, ok := plainClient(raw); ok && router.CheckClient(client) == nil {
		return client, nil
	}
	query, err := url.ParseQuery(string(raw))
	if err != nil {
		return "", badClient("the query can't be decoded; allowed is ?client= and a percent-encoded name")
	}
	client := query.Get("client")
	if err := router.CheckClient(client); err != nil {
		return "", badClient(err.Error() + "; name it with ?client=")
	}
	return strings.Clone(client), nil // and not the whole query
}

func badClient(what string) *Denial {
	return &Denial{Status: http.StatusBadRequest, Text: "bad client: " + what}
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
