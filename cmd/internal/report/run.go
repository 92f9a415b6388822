package report

import "time"

// Arm is one way of delivery that is compared with the others, under the same
// load and in the same run.
type Arm string

// The arms, named as the settings of a node name its deliveries.
const (
	Targeted  Arm = "targeted"
	Broadcast Arm = "broadcast"
	Subscribe Arm = "subscribe"
)

// Workload is a kind of load. Each varies at most one parameter of its points.
type Workload string

// The workloads.
const (
	Rate       Workload = "rate"       // open loop: a fixed rate, latency from the intended time of sending
	Saturation Workload = "saturation" // closed loop: as much as goes through
	Nodes      Workload = "nodes"      // growth over nodes, at a fixed rate; receivers are on other nodes than their senders
	Clients    Workload = "clients"    // growth over clients, at a fixed rate
	Size       Workload = "size"       // growth over the bytes of a message, at a fixed rate
	Idle       Workload = "idle"       // connections that do nothing: memory
	Storm      Workload = "storm"      // all clients connect at once
	Offline    Workload = "offline"    // a growing share of the receivers is not connected
	Churn      Workload = "churn"      // clients move between nodes while messages fly
	Kill       Workload = "kill"       // a node is killed while messages fly
)

// Figure names one measured number of a point.
type Figure string

// The figures. "Per message" means: per delivered message, where nothing else is
// said. A figure that was not measured is absent, never zero.
const (
	DeliveredPerSecond  Figure = "delivered_per_second"
	LatencyP50          Figure = "latency_p50_us" // microseconds, from the intended time of sending to the receipt by the receiving client
	LatencyP90          Figure = "latency_p90_us"
	LatencyP99          Figure = "latency_p99_us"
	LatencyP999         Figure = "latency_p999_us"
	LatencyMax          Figure = "latency_max_us"
	NodeCPU             Figure = "node_cpu_us"          // microseconds of all nodes per message
	RedisCPU            Figure = "redis_cpu_us"         // microseconds of Redis per message
	RedisCommands       Figure = "redis_commands"       // per message
	RedisBytesIn        Figure = "redis_bytes_in"       // what Redis received, per message
	RedisBytesOut       Figure = "redis_bytes_out"      // what Redis sent, per message
	Wasted              Figure = "wasted"               // deliveries to nodes that don't hold the receiver, per message
	Sent                Figure = "sent"                 // messages
	Delivered           Figure = "delivered"            // messages that their receivers got
	OfflineReceipts     Figure = "offline"              // messages whose receiver was not connected and whose sender was told so
	Lost                Figure = "lost"                 // messages that should have arrived and did not
	Duplicated          Figure = "duplicated"           // messages
	Misordered          Figure = "misordered"           // messages
	Misrouted           Figure = "misrouted"            // messages
	Misanswered         Figure = "misanswered"          // messages whose sender was told nothing, or what is not so
	BytesPerConnection  Figure = "bytes_per_connection" // memory of the nodes (RSS), per connection
	ConnectsPerSecond   Figure = "connects_per_second"
	ConnectP99          Figure = "connect_p99_us"         // microseconds from dial to welcome
	GeneratorCPU        Figure = "generator_cpu"          // share of one processor that the generator used
	GeneratorLateP99    Figure = "generator_late_p99_us"  // microseconds by which the generator itself sent late
	LookupsPerMessage   Figure = "lookups"                // per message
	PublishesPerMessage Figure = "publishes"              // per message
	RefreshRedisCPU     Figure = "refresh_redis_cpu_us"   // microseconds of Redis for each client and second, without messages
	RefreshRedisBytesIn Figure = "refresh_redis_bytes_in" // bytes for each client and second, without messages
	RecoverySeconds     Figure = "recovery_seconds"       // from a node's kill to the first truthful answer about its clients
)

// Run is everything that one run of the bench found.
type Run struct {
	Started  time.Time
	Took     time.Duration
	Command  string            // as it can be typed again
	Versions map[string]string // of "beeline", "go", "redis"
	Machine  Machine
	Target   string // what was driven, for people
	Broken   string // why the run ended before its time; empty: it is whole
	Points   []Point
}

// Machine is what the run ran on.
type Machine struct {
	System      string // operating system and kernel
	Processor   string
	Cores       int
	MemoryBytes int64
}

// Point is one measurement: one arm under one load, once.
type Point struct {
	Workload   Workload
	Arm        Arm
	Repetition int // from 1

	// The load. What a workload does not use is zero.
	Nodes         int
	Clients       int
	MessageBytes  int
	RatePerSecond float64 // offered, of all senders
	OfflineShare  float64 // of the receivers, 0 to 1
	Distribution  string  // "uniform" or "zipf": how senders and receivers are drawn
	Seconds       float64 // measured, without warm-up

	Figures map[Figure]float64
	// Latencies is the distribution behind the latency figures, for plots.
	Latencies []Percentile `json:",omitempty"`
	// Marks say why the point is not to be trusted: the generator had no processor
	// left.
	Marks []string `json:",omitempty"`
	// Late says why the latencies alone are not to be trusted: the generator sent
	// late, or everybody waited for a processor. What a message costs is not touched
	// by that. Empty: they are.
	Late string `json:",omitempty"`
	// Faults say what went wrong with deliveries; any makes the run fail.
	Faults []string `json:",omitempty"`
}

// Percentile is a point of a latency distribution.
type Percentile struct {
	Percent float64 // 0 to 100
	Micros  float64
}
