package report

// traffic is what the cost of a message depends on.
type traffic struct {
	nodes   int
	rate    float64 // messages/s of all senders
	away    float64 // share that leaves its node
	lookups float64 // per message
}

// apart is the share of messages that leave their nodes in the workload Nodes.
func apart(nodes int) float64 { return min(1, float64(nodes-1)) }

// away is the share of messages whose receiver is on another node than its sender,
// where clients are spread evenly.
func away(nodes int) float64 { return float64(nodes-1) / float64(nodes) }

const (
	// ackDelay is how long an acknowledgement that nobody waits for may wait for
	// company, in seconds (package router).
	ackDelay = 1.0
	// awake is for how long a node that had something to do does the next at little
	// cost, in seconds: the Go scheduler looks for work for a while before it sleeps,
	// and so do processors. It was chosen by what fits the growth over nodes best, up
	// to eight.
	awake = 0.005
)

// acks is how many acknowledgements a message needs that leave alone: all of them where
// two nodes rarely talk to each other, few where one answers many messages.
func (t traffic) acks() float64 {
	if t.nodes < 2 {
		return 0
	}
	perLink := t.rate * t.away / float64(t.nodes*(t.nodes-1))
	return t.away / (1 + ackDelay*perLink)
}

// wakes is how many sleeping nodes a message wakes: all that have to do with it where
// each has little to do, few where all are busy.
func (t traffic) wakes(arm Arm) float64 {
	var concerned float64 // nodes, those counted twice that have to do with it twice
	switch arm {
	case Targeted:
		concerned = 1 + t.away + t.acks()
	case Broadcast:
		concerned = 1 + float64(t.nodes)
	default:
		concerned = 2
	}
	return concerned / (1 + awake*concerned*t.rate/float64(t.nodes))
}

// The terms of a message's cost, by their places.
const (
	baseTerm = iota
	growTerm
	ackTerm
	lookupTerm
	wakeTerm
	numTerms
)

// terms are what the units of a resource are multiplied by.
func (t traffic) terms(arm Arm, f Figure) (x [numTerms]float64) {
	x[baseTerm], x[growTerm], x[lookupTerm] = 1, t.away, t.lookups
	if arm == Broadcast {
		x[growTerm] = float64(t.nodes - 1)
	}
	acks := 0.0
	if arm == Targeted {
		acks = t.acks()
	}
	if f.isCPU() { // an acknowledgement is as much work as a hop
		x[growTerm] += acks
		x[wakeTerm] = t.wakes(arm)
	} else {
		x[ackTerm] = acks
	}
	return x
}

func (f Figure) isCPU() bool { return f == NodeCPU || f == RedisCPU }

// cost is what a message costs.
func (u Units) cost(arm Arm, f Figure, t traffic) float64 {
	x := t.terms(arm, f)
	return u.Base*x[baseTerm] + u.Grow*x[growTerm] + u.Ack*x[ackTerm] + u.Lookup*x[lookupTerm] + u.Wake*x[wakeTerm]
}
