//go:build unix

package chaos

import (
	"context"
	"encoding/json"

	"github.com/beeline-ws/beeline/cmd/internal/client"
)

// wire is a session as a person uses it. One goroutine reads; any may write.
type wire interface {
	Next() (client.Frame, error)
	Send(to, id string, data json.RawMessage) error
	SendToConfirm(to, id string, data json.RawMessage) error
	Ack(id string) error
	Close()
	Cut()
}

// dialer connects a client and returns the wire and the session's ID.
type dialer func(ctx context.Context, url, name string) (wire, string, error)

func dial(ctx context.Context, url, name string) (wire, string, error) {
	c, err := client.Dial(ctx, url, name)
	if err != nil {
		return nil, "", err
	}
	return c, c.Session, nil
}
