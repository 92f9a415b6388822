package registry

import "github.com/beeline-ws/beeline/registry/redisconn"

// Redis returns the connections that the registry works with.
func (r *Registry) Redis() *redisconn.Client { return r.redis }

// Activity is something that a node needs Redis for all the time.
type Activity = redisconn.Activity

// The activities, as redisconn names them.
const (
	Subscribing = redisconn.Subscribing
	Publishing  = redisconn.Publishing
	Beating     = redisconn.Beating
	Verifying   = redisconn.Verifying
	Asking      = redisconn.Asking
)

// Failed says that an activity failed; see redisconn.Client.
func (r *Registry) Failed(a Activity, err error) { r.redis.Failed(a, err) }

// Works says that an activity succeeded; see redisconn.Client.
func (r *Registry) Works(a Activity) { r.redis.Works(a) }

// Advise says what an error of Redis means; see redisconn.Client.
func (r *Registry) Advise(err error) string { return r.redis.Advise(err) }
