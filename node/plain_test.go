package node

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// Each row is a message that can't be acted on: it is answered and the session
// stays.
func TestMalformedMessages(t *testing.T) {
	deep := strings.Repeat("[", 64) + strings.Repeat("]", 64)
	rows := []struct{ name, text, code, says string }{
		{"empty", ``, codeMalformed, "object"},
		{"not JSON", `hello`, codeMalformed, "object"},
		{"an array", `[1]`, codeMalformed, "object"},
		{"a string", `"send"`, codeMalformed, "object"},
		{"cut short", `{"type":"send"`, codeMalformed, "byte 14"},
		{"two objects", `{"type":"ping"}{}`, codeMalformed, "byte 15"},
		{"raw control character", "{\"type\":\"p\ning\"}", codeMalformed, "control"},
		{"bad number", `{"type":"send","to":"a","data":01}`, codeMalformed, "expected"},
		{"deeply nested", `{"type":"send","to":"a","data":` + deep + `}`, codeTooDeep, "64"},
		{"hugely nested", strings.Repeat(`{"a":`, 10000), codeTooDeep, "64"},
		{"no type", `{}`, codeUnknownType, "send"},
		{"type a number", `{"type":1}`, codeUnknownType, "send"},
		{"unknown type", `{"type":"subscribe"}`, codeUnknownType, "ping"},
		{"no to", `{"type":"send","data":1}`, codeMissingTo, "to"},
		{"to a number", `{"type":"send","to":1,"data":1}`, codeBadAddress, "string"},
		{"to empty", `{"type":"send","to":"","data":1}`, codeBadAddress, "empty"},
		{"to a nameless group", `{"type":"send","to":"#","data":1}`, codeBadAddress, "U+0023"},
		{"to a group", `{"type":"send","to":"#lobby","data":1}`, codeBadAddress, "U+0023"},
		{"to a back end", `{"type":"send","to":"@shop","data":1}`, codeBadAddress, "U+0040"},
		{"to the cluster", `{"type":"send","to":"$nodes","data":1}`, codeBadAddress, "U+0024"},
		{"to a lone surrogate", `{"type":"send","to":"a\ud800","data":1}`, codeBadAddress, "U+D800"},
		{"to half a pair", `{"type":"send","to":"\ude00\ud83d","data":1}`, codeBadAddress, "U+DE00"},
		{"to another direction", `{"type":"send","to":"a\u202eb","data":1}`, codeBadAddress, "U+202E"},
		{"to another line", `{"type":"send","to":"a\u2028b","data":1}`, codeBadAddress, "U+2028"},
		{"to too long", `{"type":"send","to":"` + strings.Repeat("a", 257) + `","data":1}`, codeBadAddress, "256"},
		{"no data", `{"type":"send","to":"a"}`, codeMissingData, "data"},
		{"id an object", `{"type":"send","to":"a","data":1,"id":{}}`, codeBadID, "string"},
		{"id null", `{"type":"send","to":"a","data":1,"id":null}`, codeBadID, "number"},
		{"confirm null", `{"type":"send","to":"a","data":1,"confirm":null}`, codeBadFlag, "confirm"},
		{"confirm a string", `{"type":"send","to":"a","data":1,"confirm":"true"}`, codeBadFlag, "false"},
		{"droppable a number", `{"type":"send","to":"a","data":1,"droppable":1}`, codeBadFlag, "droppable"},
		{"confirm without id", `{"type":"send","to":"a","data":1,"confirm":true}`, codeMissingID, "confirmed"},
		{"ack without id", `{"type":"ack"}`, codeMissingID, "message"},
		{"id too long", `{"type":"send","to":"a","data":1,"id":"` + strings.Repeat("a", 129) + `"}`, codeBadID, "129"},
		{"number as an id too long", `{"type":"send","to":"a","data":1,"id":` + strings.Repeat("1", 129) + `}`, codeBadID, "129"},
		{"id with a lone surrogate", `{"type":"send","to":"a","data":1,"id":"\ud800"}`, codeBadID, "surrogate"},
	}
	n := start(t, nil)
	by := n.bystanders()
	c := connect(t, n.Addr(), "careless")
	counted := map[string]float64{}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c.say(row.text)
			if got := c.wantError(row.code); !strings.Contains(got, row.says) || strings.Contains(got, `,"id":`) {
				t.Errorf("answer %s", got)
			}
			counted[row.code]++
			n.wantCount(n.counts.errors, row.code, counted[row.code])
			c.say(`{"type":"ping"}`)
			c.want(ws.OpText, `{"type":"pong"}`)
			by.wantUndisturbed()
		})
	}
}

// An id that is one, but none of a message, comes back with the error.
func TestBadAck(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "a")
	for _, id := range []string{`1`, `""`, `"1"`, `"1-"`, `"1-2-3"`, `"g-1"`, `"-1-1"`, `"11111111111111111-1"`} {
		c.say(`{"type":"ack","id":` + id + `}`)
		if got := c.wantError(codeBadID); !strings.HasSuffix(got, `,"id":`+id+`}`) {
			t.Errorf("answer %s", got)
		}
	}
	c.say(`{"type":"ack","id":"1-2"}`) // nobody waits for that
	c.say(`{"type":"ping"}`)
	c.want(ws.OpText, `{"type":"pong"}`)
}

func TestErrorsNameTheirMessage(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "a")
	c.say(`{"type":"send","data":1,"id":"\u0041"}`)
	if got := c.wantError(codeMissingTo); !strings.HasSuffix(got, `,"id":"\u0041"}`) {
		t.Errorf("answer %s", got)
	}
}

func TestReceipts(t *testing.T) {
	n := start(t, nil)
	connect(t, n.Addr(), "bob")
	c := connect(t, n.Addr(), "alice")
	for _, id := range []string{`0`, `-1.5e10`, `"x"`, `"\ud83d\ude00 \u00e4"`, `""`,
		`"` + strings.Repeat("i", 128) + `"`, `"` + strings.Repeat(`\u0069`, 128) + `"`, strings.Repeat("1", 128)} {
		c.send("bob", "null", id)
		c.wantReceipt(id, "delivered")
		c.send("nobody", "null", id)
		c.wantReceipt(id, "offline")
	}
	c.send("#", "null", "7")
	c.want(ws.OpText, `{"type":"receipt","id":7,"outcome":"rejected","reason":"bad_address: bad \"to\": it begins with U+0023`)
}

func TestDataIsPassedOnAsItCame(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "a")
	for _, data := range []string{
		`null`, `true`, `-0.0e+00`, `1e999`, `"\ud800"`, `{"b":1,"b":2, "a" : [ ] }`, `"<>&é\u00e9"`, `[[],{},""]`,
	} {
		c.send("a", data, "")
		c.wantMessage("a", data)
	}
	c.say(" { \"x\":{\"to\":\"b\"} , \"to\":\"b\", \"data\":1, \"t\\u006fx\":1, \"\\u0074o\":\"\\u0061\",\n\"data\" : \t[1, 2] , \"type\":\"se\\u006ed\" } ")
	c.wantMessage("a", `[1, 2]`)
}

func TestAwkwardNames(t *testing.T) {
	n := start(t, nil)
	conn := open(t, n.Addr(), "%22%5C%C3%A9%20%F0%9F%98%80")
	conn.want(ws.OpText, `{"type":"welcome","client":"\"\\é 😀"`)
	conn.send(`"\é 😀`, "1", "")
	conn.want(ws.OpText, `{"type":"message","from":"\"\\é 😀","to":"\"\\é 😀"`)
}

func TestMessageSize(t *testing.T) {
	for _, m := range []router.Message{
		{},
		{ID: router.MessageID{Origin: 1, Count: 15}, From: "a", To: "#b", Data: []byte("1")},
		{ID: router.MessageID{Origin: 1, Count: 15}, From: "a", To: "b", Data: []byte("1"), Confirm: true},
		{ID: router.MessageID{Origin: 1 << 63, Count: 16}, From: "\"\\\x01é", To: "\xff�😀", Data: []byte(`"x"`)},
	} {
		b := plain{}.appendMessage(nil, &m)
		if got := (plain{}).messageSize(&m); got != len(b) {
			t.Errorf("size %d of %s, which has %d", got, b, len(b))
		}
		if !strings.Contains(string(b), `"id":"`+m.ID.String()+`"`) {
			t.Errorf("%s lacks the id %s", b, m.ID)
		}
	}
}
