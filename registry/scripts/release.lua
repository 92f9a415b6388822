-- Deletes entries that still hold the given tokens.
--
-- KEYS[i]     hash of an address's owners: nodeID -> token (in Cluster all keys
--             of a call are the same)
-- ARGV[2i-1]  a node's ID
-- ARGV[2i]    the token of its claim
--
-- Returns how many entries were deleted.
local deleted = 0
for i, key in ipairs(KEYS) do
  local node = ARGV[2 * i - 1]
  if redis.call('HGET', key, node) == ARGV[2 * i] then
    deleted = deleted + redis.call('HDEL', key, node)
  end
end
return deleted
