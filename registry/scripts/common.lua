-- What the scripts share: this is put before each of them. Others can write under
-- beeline's prefix, too, so nothing that is read is taken for beeline's own unless it looks
-- like it.
local call, pcall = redis.call, redis.pcall

-- Whether an ID is one that a node may have.
local function isNode(id)
  return #id > 0 and #id <= 160 and not string.find(id, '[^%w._-]')
end

-- Whether a token is a claim's: a hexadecimal number of 64 bits.
local function isToken(token)
  return #token > 0 and #token <= 16 and not string.find(token, '[^0-9a-f]')
end

-- Whether a token belongs to a later claim: the tokens of one node grow.
local function later(token, than)
  return isToken(token) and (#token > #than or #token == #than and token > than)
end

-- Whether a field of an address's hash can be an owner's entry.
local function isEntry(id, token)
  return isNode(id) and isToken(token)
end

-- What an address's hash is in which a field can't be an owner's entry: somebody else has
-- written there, and may have overwritten entries.
local damaged = 'a hash with entries that no node writes'

-- Whether a command that was called with pcall met a key of another type. Any other
-- error is for who called the script, and comes again with call.
local function isWrongType(reply)
  return type(reply) == 'table' and reply.err and string.find(reply.err, 'WRONGTYPE', 1, true) and true or false
end

-- Returns a hash's number of fields, or nil for a key of another type.
local function fieldsOf(key)
  local size = pcall('HLEN', key)
  if type(size) == 'number' then
    return size
  end
  return not isWrongType(size) and call('HLEN', key) or nil
end

-- Returns an address's hash as {nodeID, token, ...}. For a key that can't be beeline's it
-- returns nil and what it is: nobody can tell then who owned the address. most is the
-- number of owners that an address may have.
local function ownersOf(key, most)
  local size = fieldsOf(key)
  if not size then
    return nil, 'no hash'
  end
  if size > most then
    return nil, 'a hash of ' .. size .. ' fields'
  end
  return call('HGETALL', key)
end

-- Returns a field of a hash that has one of 1 to most bytes, else false.
local function fieldOf(key, field, most)
  local size = call('HSTRLEN', key, field)
  return size > 0 and size <= most and call('HGET', key, field)
end

-- Makes sure that a node's key ends: one that no node has written may have no TTL, or one
-- of years, and nobody would refresh it, nor take its node for dead. ttl is the life of
-- this node's own lease; a node with a longer heartbeat has a longer one, up to longest.
local function endLease(key, isHash, left, ttl, longest)
  local limit = ttl
  local heartbeat = isHash and tonumber(fieldOf(key, 'heartbeat', 16) or '')
  if heartbeat and heartbeat > 0 then
    limit = math.max(limit, math.min(3 * heartbeat + 2000, longest))
  end
  if left < 0 or left > limit then
    call('PEXPIRE', key, string.format('%.0f', limit))
  end
end

-- Returns Redis' own time in milliseconds.
local function now()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
