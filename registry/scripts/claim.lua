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
-- ARGV[5]    how many owners an address may have
-- ARGV[5+i]  the claim's token for KEYS[i]
--
-- Returns nothing about a key that was written and has no other owner, which is
-- nearly every one; for each of the others
-- {i, verdict, nodeID, token, nodeID, token, ...}: the other owners behind the
-- verdict, which is
--   1  written
--   0  not written, others own the address (reject)
--   2  not written, a newer claim of this node owns the address (again)
--   3  written in the place of a key that can't be beeline's (again); behind the
--      verdict stands what it was. Who else owned the address is lost
--   4  not written, for the same reason (new): whoever owned the address is to
--      restore its entry first
local node, ttl, rule, again, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == 'again', tonumber(ARGV[5])

local function write(key, token)
  call('HSET', key, node, token)
  call('PEXPIRE', key, ttl)
end

local function claim(i, key, token)
  local owners, what = ownersOf(key, most)
  if not owners and not again then
    return {i, 4, what}
  elseif not owners then
    call('UNLINK', key)
    write(key, token)
    return {i, 3, what}
  end
  local others
  for j = 1, #owners, 2 do
    local id, held = owners[j], owners[j + 1]
    if id == node then
      if again and later(held, token) then
        return {i, 2}
      end
    elseif isEntry(id, held) then
      others = others or {i, 1}
      others[#others + 1] = id
      others[#others + 1] = held
    elseif not again then
      return {i, 4, damaged}
    end
  end

  if others and rule == 'reject' then
    others[2] = 0
    return others
  end
  write(key, token)
  return others
end

local reply = {}
for i, key in ipairs(KEYS) do
  reply[#reply + 1] = claim(i, key, ARGV[5 + i])
end
return reply
