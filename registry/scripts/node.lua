-- Writes a node's lease. It never shortens its life: a call that was held up on its way
-- may come behind a later one.
--
-- KEYS[1]    hash that holds the node's lease
-- ARGV[1]    how long it lives from now on at least, in milliseconds
-- ARGV[1+i]  field, value, field, value, ...
--
-- Returns how many of the fields were not there: 0 if the lease was.
local added = redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return added
