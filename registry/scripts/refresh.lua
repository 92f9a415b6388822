-- Extends a node's leases.
--
-- KEYS[i]    hash of an address's owners: nodeID -> token (in Cluster one key
--            a call)
-- ARGV[1]    the node's ID
-- ARGV[2]    TTL of the hashes in milliseconds
-- ARGV[2+i]  the lease's token for KEYS[i]
--
-- Returns {i, what, i, what, ...} for the keys that were not extended, which are
-- few:
--   0  the node has no entry, or one of an earlier claim: a later one was lost
--   2  the node's entry holds a later claim's token
local call = redis.call
local node, ttl = ARGV[1], ARGV[2]

-- A node's tokens are hexadecimal numbers that grow.
local function later(token, than)
  return #token > #than or #token == #than and token > than
end

local lost = {}
for i, key in ipairs(KEYS) do
  local token = call('HGET', key, node)
  if token == ARGV[2 + i] then
    call('PEXPIRE', key, ttl)
  else
    lost[#lost + 1] = i
    lost[#lost + 1] = token and later(token, ARGV[2 + i]) and 2 or 0
  end
end
return lost
