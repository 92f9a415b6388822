-- Tells in which epoch this Redis master's data live, and begins a new one if
-- data may have been lost: the epoch is gone (flushed, restarted empty) or is not
-- beeline's, the master has another replication ID (restarted, failed over), nobody
-- called for so long that leases may have expired unseen (Redis was stopped or cut
-- off), or a node has found that somebody else has overwritten what beeline keeps.
--
-- KEYS[1]  hash of the epoch: id, replid, at (of the last call, roughly)
-- ARGV[1]  a fresh random ID
-- ARGV[2]  the longest silence in milliseconds
-- ARGV[3]  the epoch that has lost data, if a node has found so, else empty
--
-- Returns {ID}, or {ID, what} if the key was none of beeline's, where what says what it
-- was. On a replica, whose data may be behind: an error.
local limit = tonumber(ARGV[2])

local replid = ''
local info = pcall('INFO', 'replication')
if type(info) == 'string' then
  if string.find(info, 'role:slave', 1, true) then
    return redis.error_reply('READONLY the registry needs a master, this is a replica')
  end
  replid = string.match(info, 'master_replid:(%w+)') or ''
end

local key, now, what = KEYS[1], now(), nil
if not fieldsOf(key) then
  call('UNLINK', key)
  what = 'no hash'
end

local id, began, at = fieldOf(key, 'id', 64), fieldOf(key, 'replid', 64) or '', fieldOf(key, 'at', 16)
at = at and string.find(at, '^%d+$') and tonumber(at)
local silence = now - (at or 0)

if not id or string.find(id, '%W') or id == ARGV[3] or began ~= replid or silence > limit then
  id = ARGV[1]
  call('HSET', key, 'id', id, 'replid', replid, 'at', string.format('%.0f', now))
elseif silence < 0 or silence * 4 > limit then
  call('HSET', key, 'at', string.format('%.0f', now))
end
return {id, what}
