-- Removes an address's key if it can't be beeline's.
--
-- KEYS[1]  hash of the address's owners: nodeID -> token
-- ARGV[1]  how many owners an address may have
--
-- Returns 1 if it was removed, else 0.
local owners = ownersOf(KEYS[1], tonumber(ARGV[1]))
return owners and 0 or call('UNLINK', KEYS[1])
