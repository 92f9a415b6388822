-- Makes a node an owner of an address and tells who else owns it.
--
-- KEYS[1]  hash of the address's owners: nodeID -> token
-- ARGV[1]  the node's ID
-- ARGV[2]  the claim's token
-- ARGV[3]  TTL of the hash in milliseconds
-- ARGV[4]  what to do about other owners:
--            allow    own the address beside them
--            replace  delete their entries
--            reject   write nothing if there are any
-- ARGV[5]  new: overwrite an earlier claim of this node
--          again: restore an entry that was lost; an entry of this node that
--          holds another token is a newer claim and stays
--
-- Returns {verdict, nodeID, token, nodeID, token, ...}: the other owners after
-- the verdict, which is
--   1  written
--   0  not written, others own the address (reject)
--   2  not written, a newer claim of this node owns the address (again)
local node, token, ttl, rule, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local reply = {1}
local owners = redis.call('HGETALL', KEYS[1])
for i = 1, #owners, 2 do
  if owners[i] ~= node then
    reply[#reply + 1] = owners[i]
    reply[#reply + 1] = owners[i + 1]
  elseif kind == 'again' and owners[i + 1] ~= token then
    return {2}
  end
end

if #reply > 1 and rule == 'reject' then
  reply[1] = 0
  return reply
end
if rule == 'replace' then
  for i = 2, #reply, 2 do
    redis.call('HDEL', KEYS[1], reply[i])
  end
end
redis.call('HSET', KEYS[1], node, token)
redis.call('PEXPIRE', KEYS[1], ttl)
return reply
