-- Enlists a node among those that others look for, strikes off who does not beat, and
-- tells who is listed. All times are Redis' own. What it strikes off by mistake comes
-- back with its next beat.
--
-- KEYS[1]  sorted set of node IDs by the time of their last beat (Unix ms)
-- ARGV[1]  the node to enlist; empty: none
-- ARGV[2]  how many nodes are returned at most; 0: none
-- ARGV[3]  how long a node is listed that does not beat, in milliseconds
-- ARGV[4]  how far ahead a beat may lie, in milliseconds: after a failover to a host
--          whose clock is behind it does
-- ARGV[5]  how many may be listed
-- ARGV[6]  how many are struck off at a time, of each kind
--
-- Returns {now, what, nodeID, time, nodeID, time, ...}: who has beaten last comes first;
-- what is empty, or says what the key was if it was none of beeline's.
local key, step, what, now = KEYS[1], tonumber(ARGV[6]), '', now()
if isWrongType(pcall('ZCARD', key)) then
  call('UNLINK', key)
  what = 'no sorted set'
end
if ARGV[1] ~= '' then
  call('ZADD', key, string.format('%.0f', now), ARGV[1])
end

local ahead = math.min(step, call('ZCOUNT', key, string.format('(%.0f', now + tonumber(ARGV[4])), '+inf'))
if ahead > 0 then
  call('ZREMRANGEBYRANK', key, -ahead, -1)
end
local gone = math.min(step, call('ZCOUNT', key, '-inf', string.format('(%.0f', now - tonumber(ARGV[3]))))
gone = math.max(gone, math.min(step, call('ZCARD', key) - tonumber(ARGV[5])))
if gone > 0 then
  call('ZREMRANGEBYRANK', key, 0, gone - 1)
end

local reply, most = {string.format('%.0f', now), what}, tonumber(ARGV[2])
if most > 0 then
  local listed = call('ZRANGE', key, 0, most - 1, 'REV', 'WITHSCORES')
  for j = 1, #listed, 2 do
    if isNode(listed[j]) then
      reply[#reply + 1] = listed[j]
      reply[#reply + 1] = listed[j + 1]
    else
      call('ZREM', key, listed[j])
    end
  end
end
return reply
