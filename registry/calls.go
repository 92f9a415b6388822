package registry

import (
	"strconv"
	"strings"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// calls gathers the script calls of a group. Its memory serves one group after
// the other: keys and tokens are cut from one text, and a pointer to a string
// becomes an argument without an allocation.
type calls struct {
	list []*redisconn.Call

	text    strings.Builder
	words   []string
	args    []any
	scratch [16]byte
}

// reset forgets all calls. They must have been answered.
func (c *calls) reset() {
	clear(c.list)
	clear(c.words)
	clear(c.args)
	c.list, c.words, c.args = c.list[:0], c.words[:0], c.args[:0]
	size := c.text.Len()
	c.text.Reset()
	c.text.Grow(size) // for a group like the last
}

// reserve makes room for a number of calls that have n keys and m further arguments each.
func (c *calls) reserve(number, n, m int) {
	c.list = make([]*redisconn.Call, 0, number)
	c.words = make([]string, 0, number*n)
	c.args = make([]any, 0, number*(3+n+m))
}

// begin adds a call that has n keys and m further arguments, which are added
// next, in their order.
func (c *calls) begin(s *redisconn.Script, n, m int) {
	if size := 3 + n + m; cap(c.args)-len(c.args) < size {
		c.args = make([]any, 0, max(size, 2*cap(c.args)))
	}
	at := len(c.args)
	c.args = s.Begin(c.args, n)
	c.list = append(c.list, s.CallOf(c.args[at:at+3+n+m]))
}

// add adds a call that is complete.
func (c *calls) add(one *redisconn.Call) { c.list = append(c.list, one) }

// last returns the call that was begun last.
func (c *calls) last() *redisconn.Call { return c.list[len(c.list)-1] }

// key adds the key of an address and returns it.
func (c *calls) key(k Keys, address string) string {
	at := c.text.Len()
	k.writeAddress(&c.text, address)
	return c.word(at)
}

// token adds a claim's token.
func (c *calls) token(number uint64) {
	at := c.text.Len()
	c.text.Write(strconv.AppendUint(c.scratch[:0], number, tokenBase))
	c.word(at)
}

// value adds anything else.
func (c *calls) value(v any) { c.args = append(c.args, v) }

// word adds what was written to the text since at.
func (c *calls) word(at int) string {
	word := c.text.String()[at:]
	c.words = append(c.words, word)
	c.args = append(c.args, &c.words[len(c.words)-1])
	return word
}
