package router

import (
	"encoding/json"
	"unicode/utf8"
)

// foreignMessage is the JSON envelope that anything with a Redis client may
// publish to a node's private channel, after it has asked the registry who owns
// the address. It must be UTF-8: a session passes data on as it came. There is no
// receipt: see docs/redis.md.
type foreignMessage struct {
	To   jsonName        `json:"to"`
	From jsonName        `json:"from"`
	Data json.RawMessage `json:"data"`
}

func (in *inbox) foreign(payload string) {
	var f foreignMessage
	err := json.Unmarshal([]byte(payload), &f)
	if err != nil || !utf8.ValidString(payload) || CheckAddress(string(f.To)) != nil || CheckClient(string(f.From)) != nil || len(f.Data) == 0 {
		in.dropped(dropForeign)
		return
	}
	m := Message{ID: in.r.newID(), From: string(f.From), To: string(f.To), Data: f.Data}
	if in.r.deliverHere(&m, lookedUp, in.now, in.now) == fateNotHere {
		in.r.m.WastedDeliveries.Inc()
		in.dropped(dropNotHere)
	}
}
