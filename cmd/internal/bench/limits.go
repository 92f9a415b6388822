package bench

import (
	"fmt"
	"os"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

const (
	// maxMessages is how many messages a point may have. The checker keeps some 60 bytes
	// of each, so this is a gigabyte.
	maxMessages = 1 << 24
	// spareFiles is what a process opens beside its clients' connections.
	spareFiles = 200
	// sparePorts is what else this machine connects to a node, or did a moment ago.
	sparePorts = 1000
)

// messages is how many a point at a fixed rate has. Those of the closed loop are not
// known beforehand; it ends when there are maxMessages.
func messages(p *report.Point) float64 {
	during := time.Duration(p.Seconds * float64(time.Second))
	n := p.RatePerSecond * (during + warmUp(during)).Seconds()
	if p.RatePerSecond > 0 && acquaints(p.Workload) {
		n += float64(p.Nodes) * float64(p.Clients)
	}
	return n
}

// checkMachine holds the connections against what this machine can open.
func (o *Options) checkMachine() error {
	files, ports := maxFiles(), maxPorts()
	for _, p := range o.plan() {
		if err := fits(p.Clients, files); err != nil {
			return err
		}
		if err := reaches(p.Clients, p.Nodes, ports); err != nil {
			return err
		}
	}
	return nil
}

// fits reports whether a process can open a connection for each client. The nodes have
// the same limit, and hold a part of the connections each.
func fits(clients, files int) error {
	if clients+spareFiles > files {
		return fmt.Errorf("%d clients: this process may open %d files, which is enough for %d clients; raise the limit with ulimit -n",
			clients, files, max(files-spareFiles, 0))
	}
	return nil
}

// reaches reports whether there are ports enough for the connections to one node.
func reaches(clients, nodes, ports int) error {
	if most := max(ports-sparePorts, 0); clients > most*nodes {
		return fmt.Errorf("%s %d clients: this machine has %d ports for connections to each node (net.ipv4.ip_local_port_range), which is enough for %d clients a node; widen the range or take more nodes",
			nodesText(nodes), clients, ports, most)
	}
	return nil
}

func nodesText(nodes int) string {
	if nodes == 1 {
		return "1 node for"
	}
	return fmt.Sprintf("%d nodes for", nodes)
}

// maxPorts is how many connections this machine can have open to one address.
func maxPorts() int {
	var low, high int
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 1 << 30 // not Linux: it is not known
	}
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil || high < low {
		return 1 << 30
	}
	return high - low + 1
}
