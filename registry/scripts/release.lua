-- Deletes entries of an address that still hold the given tokens.
--
-- KEYS[1]  hash of the address's owners: nodeID -> token
-- ARGV     nodeID, token, nodeID, token, ...
--
-- Returns how many entries were deleted.
local deleted = 0
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    deleted = deleted + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return deleted
