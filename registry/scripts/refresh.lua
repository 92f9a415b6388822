-- Extends a node's leases.
--
-- KEYS[i]    hash of an address's owners: nodeID -> token (in Cluster one key
--            a call)
-- ARGV[1]    the node's ID
-- ARGV[2]    TTL of the hashes in milliseconds
-- ARGV[2+i]  the lease's token for KEYS[i]
--
-- Returns one number for each key:
--   1  extended
--   0  not extended, the node has no entry
--   2  not extended, the node's entry holds another token
local node, ttl = ARGV[1], ARGV[2]

local reply = {}
for i, key in ipairs(KEYS) do
  local token = redis.call('HGET', key, node)
  if not token then
    reply[i] = 0
  elseif token ~= ARGV[2 + i] then
    reply[i] = 2
  else
    redis.call('PEXPIRE', key, ttl)
    reply[i] = 1
  end
end
return reply
