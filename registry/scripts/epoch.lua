-- Tells in which epoch this Redis master's data live, and begins a new one if
-- data may have been lost: the epoch is gone (flushed, restarted empty), the
-- master has another replication ID (restarted, failed over), or nobody called
-- for so long that leases may have expired unseen (Redis was stopped or cut
-- off).
--
-- KEYS[1]  hash of the epoch: id, replid, at (of the last call, roughly)
-- ARGV[1]  a fresh random ID
-- ARGV[2]  the longest silence in milliseconds
--
-- Returns the epoch's ID. On a replica, whose data may be behind: an error.
local limit = tonumber(ARGV[2])

local replid = ''
local info = redis.pcall('INFO', 'replication')
if type(info) == 'string' then
  if string.find(info, 'role:slave', 1, true) then
    return redis.error_reply('READONLY the registry needs a master, this is a replica')
  end
  replid = string.match(info, 'master_replid:(%w+)') or ''
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local epoch = redis.call('HMGET', KEYS[1], 'id', 'replid', 'at')
local silence = now - (tonumber(epoch[3]) or 0)

if not epoch[1] or epoch[2] ~= replid or silence > limit then
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'replid', replid, 'at', string.format('%.0f', now))
  return ARGV[1]
end
if silence < 0 or silence * 4 > limit then
  redis.call('HSET', KEYS[1], 'at', string.format('%.0f', now))
end
return epoch[1]
