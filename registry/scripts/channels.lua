-- Lists the nodes whose private channels have a subscriber here.
--
-- ARGV[1]  CHANNELS, or in Cluster SHARDCHANNELS
-- ARGV[2]  the pattern of private channels' names
-- ARGV[3]  the length of what is before the node's ID in such a name
-- ARGV[4]  how many nodes are returned at most
--
-- Returns {nodeID, ...}.
local after, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local found = {}
for _, channel in ipairs(call('PUBSUB', ARGV[1], ARGV[2])) do
  local id = string.sub(channel, after + 1)
  if #found < most and isNode(id) then
    found[#found + 1] = id
  end
end
return found
