package redisproc

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Servers get ports below Linux' default range for outgoing connections, one of which
// could take the port of a server that is about to start, or to start again. The
// servers of a Cluster talk to each other on a port that is busOffset higher.
const firstPort, portCount, busOffset = 10_000, 10_000, 10_000

// FreePort returns a port of 127.0.0.1 on which nobody listens, nor on the one 10,000
// higher.
func FreePort() (string, error) {
	for range 100 {
		port := firstPort + rand.IntN(portCount)
		if isFree(port) && isFree(port+busOffset) {
			return strconv.Itoa(port), nil
		}
	}
	return "", fmt.Errorf("no free port found from %d to %d", firstPort, firstPort+portCount-1)
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && l.Close() == nil
}
