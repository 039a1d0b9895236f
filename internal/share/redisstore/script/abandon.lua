-- Ends a claim without a record. KEYS[2] is xp:{chain}:tok, see claim.lua.
-- ARGV: fence, chain, channel.
local h = redis.call('HMGET', KEYS[2], 'node', 'fence')
if h[1] and h[2] == ARGV[1] then
  redis.call('HDEL', KEYS[2], 'node', 'until')
  redis.call('PUBLISH', ARGV[3], 'p' .. ARGV[2])
end
return {epoch}
