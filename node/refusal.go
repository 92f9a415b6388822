package node

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// refusal is an HTTP answer to a connection that does not become a session.
type refusal struct {
	result string // label of Connects
	status int
	text   string   // one line: what was wrong and what is allowed
	header []string // further header lines
	brief  bool     // the text is not sent: HEAD wants none
}

func (r *refusal) Error() string { return r.text }

func refuse(result string, status int, format string, args ...any) *refusal {
	return &refusal{result: result, status: status, text: fmt.Sprintf(format, args...)}
}

func (r *refusal) with(header string) *refusal {
	r.header = append(r.header, header)
	return r
}

// tryLater refuses what may be accepted soon, by this node or another one.
func tryLater(result, format string, args ...any) *refusal {
	return refuse(result, http.StatusServiceUnavailable, format, args...).with("Retry-After: 1")
}

// bytes returns the answer as it is sent.
func (r *refusal) bytes() []byte {
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	for _, h := range r.header {
		b = append(append(b, h...), "\r\n"...)
	}
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.text)+1), 10)
	b = append(b, "\r\n\r\n"...)
	if r.brief {
		return b
	}
	b = append(b, r.text...)
	return append(b, '\n')
}

// write writes r, in bounded time.
func (r *refusal) write(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(lingerTime))
	_, err := conn.Write(r.bytes())
	return err
}
