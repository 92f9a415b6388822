-- Tells which nodes have a lease and vouch for an epoch, and makes sure that leases end.
--
-- KEYS[i]  hash that holds a node's lease (in Cluster one key a call)
-- ARGV[1]  the life of a lease of the calling node, in milliseconds
-- ARGV[2]  the longest life that a lease of any node may have, in milliseconds
-- ARGV[3]  the epoch, as leases have it: master=ID; empty: none is asked for
--
-- Returns for each key
--   0  there is no lease
--   1  the key is there, and says nothing that a node says
--   2  there is a lease that does not vouch for the epoch
--   3  there is one that does
local ttl, longest, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), ',' .. ARGV[3] .. ','

local reply = {}
for i, key in ipairs(KEYS) do
  local left = call('PTTL', key)
  if left == -2 then
    reply[i] = 0
  else
    local isHash = fieldsOf(key) and true or false
    endLease(key, isHash, left, ttl, longest)
    if not isHash or not fieldOf(key, 'started', 16) then
      reply[i] = 1
    else
      local vouched = ',' .. (fieldOf(key, 'epoch', 65536) or '') .. ','
      reply[i] = string.find(vouched, wanted, 1, true) and 3 or 2
    end
  end
end
return reply
