-- Writes a node's lease. A call that was held up on its way may come behind a later one:
-- it never shortens the lease's life, and what the node vouches for is all that it writes
-- into a lease that is there, unless it is a beat, which comes again soon.
--
-- KEYS[1]    hash that holds the node's lease
-- ARGV[1]    how long it lives from now on at least, in milliseconds
-- ARGV[2]    the epochs that the node vouches for
-- ARGV[3]    beat: write all fields
--            epochs: write them only if there is no lease
-- ARGV[3+i]  field, value, field, value, ...: the others
--
-- Returns 1 if there was no lease, else 0.
local added = redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
if added == 1 or ARGV[3] == 'beat' then
  redis.call('HSET', KEYS[1], unpack(ARGV, 4))
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return added
