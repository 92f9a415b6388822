-- Makes a node an owner of addresses and tells who else owns them. It removes no
-- other owner's entry: who calls may never get the answer, and then nobody would know
-- whom to tell.
--
-- KEYS[i]    hash of an address's owners: nodeID -> token (in Cluster one key
--            a call)
-- ARGV[1]    the node's ID
-- ARGV[2]    TTL of the hashes in milliseconds
-- ARGV[3]    what to do about other owners:
--              allow    own the address beside them
--              replace  as allow: each is told, and removes its entry itself
--              reject   write nothing if there are any
-- ARGV[4]    new: overwrite an earlier claim of this node
--            again: restore an entry that was lost; an entry of this node that
--            holds a later claim's token stays
-- ARGV[4+i]  the claim's token for KEYS[i]
--
-- Returns nothing about a key that was written and has no other owner, which is
-- nearly every one; for each of the others
-- {i, verdict, nodeID, token, nodeID, token, ...}: the other owners behind the
-- verdict, which is
--   1  written
--   0  not written, others own the address (reject)
--   2  not written, a newer claim of this node owns the address (again)
local call = redis.call
local node, ttl, rule, again = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == 'again'

-- A node's tokens are hexadecimal numbers that grow.
local function later(token, than)
  return #token > #than or #token == #than and token > than
end

local function claim(i, key, token)
  local owners = call('HGETALL', key)
  local others
  for j = 1, #owners, 2 do
    if owners[j] ~= node then
      others = others or {i, 1}
      others[#others + 1] = owners[j]
      others[#others + 1] = owners[j + 1]
    elseif again and later(owners[j + 1], token) then
      return {i, 2}
    end
  end

  if others and rule == 'reject' then
    others[2] = 0
    return others
  end
  call('HSET', key, node, token)
  call('PEXPIRE', key, ttl)
  return others
end

local reply = {}
for i, key in ipairs(KEYS) do
  reply[#reply + 1] = claim(i, key, ARGV[4 + i])
end
return reply
