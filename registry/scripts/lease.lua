-- Reads nodes' leases, and makes sure that they end.
--
-- KEYS[i]    hash that holds a node's lease (in Cluster one key a call)
-- ARGV[1]    the life of a lease of the calling node, in milliseconds
-- ARGV[2]    the longest life that a lease of any node may have, in milliseconds
-- ARGV[3]    the longest value that is returned, in bytes
-- ARGV[3+i]  the fields that are asked for
--
-- Returns for each key the fields' values, where what is missing or too long is nil; or
-- nil if the node has no lease. A key that is no hash is a lease that says nothing: its
-- node may live, and writes it anew with its next beat.
local ttl, longest, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local reply = {}
for i, key in ipairs(KEYS) do
  local left = call('PTTL', key)
  if left == -2 then
    reply[i] = false
  else
    local isHash = fieldsOf(key) and true or false
    endLease(key, isHash, left, ttl, longest)
    local fields = {}
    for j = 4, #ARGV do
      fields[j - 3] = isHash and fieldOf(key, ARGV[j], most)
    end
    reply[i] = fields
  end
end
return reply
