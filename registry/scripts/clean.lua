-- Removes an address's key if it can't be beeline's, or what can't be an owner's entry in it.
--
-- KEYS[1]  hash of the address's owners: nodeID -> token
-- ARGV[1]  how many owners an address may have
--
-- Returns how much was removed.
local owners, removed = ownersOf(KEYS[1], tonumber(ARGV[1])), 0
if not owners then
  return call('UNLINK', KEYS[1])
end
for j = 1, #owners, 2 do
  if not isEntry(owners[j], owners[j + 1]) then
    removed = removed + call('HDEL', KEYS[1], owners[j])
  end
end
return removed
