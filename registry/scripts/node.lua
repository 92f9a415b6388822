-- Writes a node's lease. A call that was held up on its way may come behind a later one:
-- it never shortens the lease's life, and what the node vouches for is all that it writes
-- into a lease that is there, unless it is a beat, which comes again soon.
--
-- KEYS[1]    hash that holds the node's lease
-- ARGV[1]    how long it lives from now on at least, in milliseconds
-- ARGV[2]    the longest life of a lease of this node, in milliseconds
-- ARGV[3]    the epochs that the node vouches for
-- ARGV[4]    since when the node is in the cluster, in Redis' Unix milliseconds; 0: it
--            comes now
-- ARGV[5]    beat: write all fields
--            epochs: write them only if there is no lease
-- ARGV[5+i]  field, value, field, value, ...: the others
--
-- Returns {1 if there was no lease, else 0; since when the node is in the cluster}, and
-- behind that, if the key was none of beeline's, what it was.
local key, since, what = KEYS[1], ARGV[4], nil
local size = fieldsOf(key)
if not size or size > 64 then
  what = size and 'a hash of ' .. size .. ' fields' or 'no hash'
  call('UNLINK', key)
end
if since == '0' then
  since = string.format('%.0f', now())
end

local added = call('HSET', key, 'epoch', ARGV[3])
if added == 1 or ARGV[5] == 'beat' then
  call('HSET', key, 'since', since, unpack(ARGV, 6))
end
local left = call('PTTL', key)
if left < tonumber(ARGV[1]) or left > tonumber(ARGV[2]) then
  call('PEXPIRE', key, ARGV[1])
end
return {added, since, what}
