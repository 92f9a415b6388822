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
local found = {}
for j = 1, #owners, 2 do
  if isNode(owners[j]) and isToken(owners[j + 1]) then
    found[#found + 1] = owners[j]
    found[#found + 1] = owners[j + 1]
  end
end
return found
