-- Tells who owns an address. It changes nothing.
--
-- KEYS[1]  hash of the address's owners: nodeID -> token
-- ARGV[1]  how many owners an address may have
--
-- Returns {nodeID, token, nodeID, token, ...}, or {what} for a key that can't be
-- beeline's, where what says what it is: nobody can tell then who owned the address.
local owners, what = ownersOf(KEYS[1], tonumber(ARGV[1]))
if not owners then
  return {what}
end
for j = 1, #owners, 2 do
  if not isEntry(owners[j], owners[j + 1]) then
    return {damaged}
  end
end
return owners
