-- Deletes entries that still hold the given tokens. A key that is not beeline's holds
-- none.
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
  local token = pcall('HGET', key, node)
  if token == ARGV[2 * i] then
    deleted = deleted + call('HDEL', key, node)
  elseif type(token) == 'table' and not isWrongType(token) then
    return token
  end
end
return deleted
