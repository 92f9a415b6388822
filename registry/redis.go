package registry

import "github.com/beeline-ws/beeline/registry/redisconn"

// Redis returns the connections that the registry works with.
func (r *Registry) Redis() *redisconn.Client { return r.redis }

// Failed says that an activity failed; see redisconn.Client.
func (r *Registry) Failed(a redisconn.Activity, err error) { r.redis.Failed(a, err) }

// Works says that an activity succeeded; see redisconn.Client.
func (r *Registry) Works(a redisconn.Activity) { r.redis.Works(a) }
