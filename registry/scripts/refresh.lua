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
--   0  the node has no entry, or one of an earlier claim: a later one was lost; or
--      the key, or the entry, is not beeline's
--   2  the node's entry holds a later claim's token
local node, ttl = ARGV[1], ARGV[2]

local lost = {}
for i, key in ipairs(KEYS) do
  local token = pcall('HGET', key, node)
  if token == ARGV[2 + i] then
    call('PEXPIRE', key, ttl)
  elseif type(token) == 'table' and not isWrongType(token) then
    return token
  else
    lost[#lost + 1] = i
    lost[#lost + 1] = type(token) == 'string' and later(token, ARGV[2 + i]) and 2 or 0
  end
end
return lost
