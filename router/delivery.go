package router

// Delivery names a way of messages to their receivers' nodes. A Router knows the first one;
// package baseline has the others.
type Delivery string

// The deliveries. The last two exist to be compared with.
const (
	Targeted  Delivery = "targeted"  // look the owners up, publish to their private channels
	Broadcast Delivery = "broadcast" // publish to one shared channel, every node filters
	Subscribe Delivery = "subscribe" // a Redis subscription for each local address
)
