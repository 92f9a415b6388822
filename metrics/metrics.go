package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics holds the series of one node, grouped by the package that fills them.
type Metrics struct {
	Registry *Registry
	Router   *Router
	Node     *Node
}

// New registers every series with reg, which must not hold them yet: one
// registerer serves one node.
func New(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{Registry: newRegistry(f), Router: newRouter(f), Node: newNode(f)}
}

// latencyBuckets reach from a local hand-over (10 µs) to a message's deadline.
var latencyBuckets = []float64{
	10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10,
}

// sizeBuckets count what travels together, from alone to a full batch.
var sizeBuckets = prometheus.ExponentialBuckets(1, 2, 13)

// byteBuckets reach from a word to the longest message that may be allowed.
var byteBuckets = prometheus.ExponentialBuckets(64, 4, 11)

// Registry is what the registry did in Redis.
type Registry struct {
	OperationSeconds *prometheus.HistogramVec // op
	OperationErrors  *prometheus.CounterVec   // op
	Leases           prometheus.Gauge
	RefreshBatches   prometheus.Counter
	RefreshedLeases  prometheus.Counter
	LeasesLost       *prometheus.CounterVec // reason
	PrunedOwners     prometheus.Counter
	EpochChanges     prometheus.Counter
	Settled          prometheus.Gauge
	RedisDials       prometheus.Counter
	RedisUp          prometheus.Gauge
	ForeignKeys      prometheus.Counter
}

func newRegistry(f promauto.Factory) *Registry {
	return &Registry{
		OperationSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "beeline_registry_operation_seconds", Buckets: latencyBuckets,
			Help: "Time one registry round trip to Redis took, by operation; operations that travel together count once.",
		}, []string{"op"}),
		OperationErrors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_registry_errors_total",
			Help: "Registry round trips that failed, by operation; a heartbeat also fails while the node does not hear its private channel.",
		}, []string{"op"}),
		Leases: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_leases",
			Help: "Leases this node holds and refreshes: addresses with at least one session here.",
		}),
		RefreshBatches: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_refresh_batches_total",
			Help: "Batches of lease refreshes sent to Redis.",
		}),
		RefreshedLeases: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_refreshed_leases_total",
			Help: "Leases whose refresh Redis confirmed.",
		}),
		LeasesLost: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_leases_lost_total",
			Help: "Leases a refresh found gone, by reason: missing (Redis lost it, claimed again) or taken (another session has it, ours is closed).",
		}, []string{"reason"}),
		PrunedOwners: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_pruned_owners_total",
			Help: "Entries of dead nodes and of sessions that were gone, removed from the registry by this node.",
		}),
		EpochChanges: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_registry_epoch_changes_total",
			Help: "Times this node found that Redis had lost data (flushed, restarted empty, failed over) and verified all its leases.",
		}),
		Settled: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_registry_settled",
			Help: "1 while an empty answer from the registry proves that nobody owns an address, 0 while it may only mean that Redis lost data.",
		}),
		RedisDials: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_redis_dials_total",
			Help: "Connections opened to Redis; steady growth means that they do not last.",
		}),
		RedisUp: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_redis_up",
			Help: "1 while subscribing, publishing and heartbeats work for this node, 0 from the first failure until all work again.",
		}),
		ForeignKeys: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_foreign_keys_total",
			Help: "Keys under the prefix that were not beeline's and were replaced: of another type, or too large. Somebody else writes there.",
		}),
	}
}

// Router is what became of messages and what went over the channels.
type Router struct {
	Messages             *prometheus.CounterVec   // outcome, path
	OutcomeSeconds       *prometheus.HistogramVec // outcome
	MessageBytes         prometheus.Histogram
	DeliverySeconds      *prometheus.HistogramVec // path
	EnvelopesPublished   *prometheus.CounterVec   // kind
	EnvelopesReceived    *prometheus.CounterVec   // kind
	Publishes            prometheus.Counter
	PublishedBytes       prometheus.Counter
	BatchEnvelopes       prometheus.Histogram
	Acknowledgements     prometheus.Counter
	CommitCommands       prometheus.Histogram
	WastedDeliveries     prometheus.Counter
	Lookups              prometheus.Counter
	OwnerCacheHits       prometheus.Counter
	StaleOwners          *prometheus.CounterVec // reason
	DroppedEnvelopes     *prometheus.CounterVec // reason
	Overloaded           *prometheus.CounterVec // reason
	LinkResends          prometheus.Counter
	LinkRenewals         prometheus.Counter
	ExternalMessages     *prometheus.CounterVec // outcome
	ExternalReceipts     *prometheus.CounterVec // result
	PendingMessages      prometheus.Gauge
	PendingBytes         prometheus.Gauge
	PendingMessagesLimit prometheus.Gauge
	PendingBytesLimit    prometheus.Gauge
	Resubscribes         prometheus.Counter
	PrivateChannelHears  prometheus.Gauge
}

func newRouter(f promauto.Factory) *Router {
	return &Router{
		Messages: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_messages_total",
			Help: "Messages sent by this node's sessions or by way of its inlet, by outcome and path (local: the receiver was on this node alone; remote: Redis was asked).",
		}, []string{"outcome", "path"}),
		DeliverySeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "beeline_delivery_seconds", Buckets: latencyBuckets,
			Help: "Time from a message's acceptance to its receiver's socket queue, observed by the receiving node; over hosts it includes their clocks' difference.",
		}, []string{"path"}),
		OutcomeSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "beeline_outcome_seconds", Buckets: latencyBuckets,
			Help: "Time from a message's acceptance to its outcome, as its sender waits for it, by outcome; without repeats of a message.",
		}, []string{"outcome"}),
		MessageBytes: f.NewHistogram(prometheus.HistogramOpts{
			Name: "beeline_message_bytes", Buckets: byteBuckets,
			Help: "Bytes of the data of messages that this node took from its sessions and from back ends.",
		}),
		EnvelopesPublished: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_envelopes_published_total",
			Help: "Envelopes published to Redis channels, by kind.",
		}, []string{"kind"}),
		EnvelopesReceived: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_envelopes_received_total",
			Help: "Envelopes received on this node's channels, by kind.",
		}, []string{"kind"}),
		Publishes: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_publishes_total",
			Help: "PUBLISH commands sent; each carries a batch of envelopes to one channel, or an acknowledgement alone.",
		}),
		PublishedBytes: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_published_bytes_total",
			Help: "Bytes of the batches published.",
		}),
		BatchEnvelopes: f.NewHistogram(prometheus.HistogramOpts{
			Name: "beeline_batch_envelopes", Buckets: sizeBuckets,
			Help: "Envelopes that travelled in one PUBLISH; those of acknowledgements alone are not among them.",
		}),
		Acknowledgements: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_acknowledgements_total",
			Help: "PUBLISH commands that carried nothing but an acknowledgement; others carry theirs along.",
		}),
		CommitCommands: f.NewHistogram(prometheus.HistogramOpts{
			Name: "beeline_commit_commands", Buckets: sizeBuckets,
			Help: "Redis commands that shared one round trip of the router.",
		}),
		Lookups: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_lookups_total",
			Help: "Lookups of an address's owners in the registry, each for all messages that waited for it.",
		}),
		OwnerCacheHits: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_owner_cache_hits_total",
			Help: "Messages that went to cached owners without a lookup.",
		}),
		WastedDeliveries: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_wasted_deliveries_total",
			Help: "Messages that reached this node although it does not hold their receiver.",
		}),
		StaleOwners: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_stale_owners_total",
			Help: "Owners that could not take a message, by reason (cached: they were not looked up for it).",
		}, []string{"reason"}),
		DroppedEnvelopes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_dropped_envelopes_total",
			Help: "Received envelopes that were not acted on, by reason.",
		}, []string{"reason"}),
		Overloaded: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_overloaded_total",
			Help: "Times a message found no room on its way, by what had none: pending (this node's messages without outcome), sender or receiver (one client's share of them), node (the link to the receiver's node), links (to too many nodes), redis (it is away, or the message is too large for it), queue (the receiver's sessions), stalled (a sender with many messages that wait, for a node that does not answer).",
		}, []string{"reason"}),
		LinkResends: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_link_resends_total",
			Help: "Envelopes published again because their first PUBLISH failed, reached nobody or was not acknowledged.",
		}),
		LinkRenewals: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_link_renewals_total",
			Help: "Links that began anew because their peers believed in a later life of them: with a cluster key, after a peer had forgotten the link; without one, also because somebody else made up a batch.",
		}),
		ExternalMessages: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_external_messages_total",
			Help: "Messages of external publishers that came by this node's inlet, by outcome.",
		}, []string{"outcome"}),
		ExternalReceipts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_external_receipts_total",
			Help: "Receipts for external publishers, by result (failed: Redis did not take it; dropped: too many waited).",
		}, []string{"result"}),
		PendingMessages: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_pending_messages",
			Help: "Messages accepted whose outcome is not known yet.",
		}),
		PendingBytes: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_pending_bytes",
			Help: "Payload bytes of the messages whose outcome is not known yet.",
		}),
		PendingMessagesLimit: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_pending_messages_limit",
			Help: "Messages that may be without outcome at a time.",
		}),
		PendingBytesLimit: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_pending_bytes_limit",
			Help: "Payload bytes that the messages without outcome may have.",
		}),
		Resubscribes: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_resubscribes_total",
			Help: "Times the private channel was subscribed again, with success, after its connection was lost or silent.",
		}),
		PrivateChannelHears: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_private_channel_hears",
			Help: "1 while this node hears its private channel, 0 while it is not subscribed to it and claims nothing.",
		}),
	}
}

// Node is what happened at the sockets.
type Node struct {
	BuildInfo        *prometheus.GaugeVec // version, goversion
	Sessions         prometheus.Gauge
	SessionsLimit    prometheus.Gauge
	WelcomeSeconds   prometheus.Histogram
	QueuedBytesLimit prometheus.Gauge
	Connects         *prometheus.CounterVec // result
	Closes           *prometheus.CounterVec // reason
	ClientErrors     *prometheus.CounterVec // code
	Drops            *prometheus.CounterVec // reason
	ReceivedBytes    prometheus.Counter
	SentBytes        prometheus.Counter
	QueuedBytes      prometheus.Gauge
	Draining         prometheus.Gauge
	Ready            prometheus.Gauge
	Unready          *prometheus.GaugeVec // cause
}

func newNode(f promauto.Factory) *Node {
	return &Node{
		BuildInfo: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "beeline_build_info",
			Help: "1; the labels say which beeline this is, and which Go built it.",
		}, []string{"version", "goversion"}),
		Sessions: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_sessions",
			Help: "Sessions open on this node.",
		}),
		SessionsLimit: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_sessions_limit",
			Help: "Sessions that this node may hold; +Inf without a limit.",
		}),
		WelcomeSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "beeline_welcome_seconds", Buckets: latencyBuckets,
			Help: "Time from a connection's acceptance, or the request's on one that was open already, to its client's welcome.",
		}),
		Connects: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_connects_total",
			Help: "Connection attempts by result: welcomed, or the reason of the refusal.",
		}, []string{"result"}),
		Closes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_closes_total",
			Help: "Sessions closed, by reason.",
		}, []string{"reason"}),
		ClientErrors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_client_errors_total",
			Help: "Error answers sent to clients, by code.",
		}, []string{"code"}),
		Drops: f.NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_drops_total",
			Help: "Messages not queued to a session, by reason.",
		}, []string{"reason"}),
		ReceivedBytes: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_received_bytes_total",
			Help: "Bytes read from client sockets after the handshake.",
		}),
		SentBytes: f.NewCounter(prometheus.CounterOpts{
			Name: "beeline_sent_bytes_total",
			Help: "Bytes written to client sockets after the handshake.",
		}),
		QueuedBytes: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_queued_bytes",
			Help: "Bytes queued to sessions and not yet written to their sockets; sessions that are closing may hold a quarter of the limit beside it.",
		}),
		QueuedBytesLimit: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_queued_bytes_limit",
			Help: "Bytes that may be queued to all sessions together.",
		}),
		Draining: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_draining",
			Help: "1 from the start of the shutdown on, else 0.",
		}),
		Ready: f.NewGauge(prometheus.GaugeOpts{
			Name: "beeline_ready",
			Help: "1 if a newcomer would have been welcomed when the series were read (/readyz answers 200), else 0.",
		}),
		Unready: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "beeline_unready",
			Help: "1 for each cause for which a newcomer would not have been welcomed when the series were read, else 0.",
		}, []string{"cause"}),
	}
}

// Log is what became of a process' log. The nodes of one process share it.
type Log struct {
	DroppedLines *prometheus.CounterVec // reason
}

// NewLog registers the series of a process' log with reg.
func NewLog(reg prometheus.Registerer) *Log {
	return &Log{
		DroppedLines: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "beeline_log_lines_dropped_total",
			Help: "Lines of the log that were not written, by reason: full (standard error is read too slowly) or failed (nobody reads it).",
		}, []string{"reason"}),
	}
}
