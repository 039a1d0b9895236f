-- Publishes a record and ends its claim. KEYS[2] is xp:{chain}:tok, see claim.lua.
-- ARGV: fence, record, chain, channel.
-- Answer: the epoch, 1 if the fence held.
local fence = tonumber(ARGV[1])
local h = redis.call('HMGET', KEYS[2], 'node', 'fence', 'committed', 'version')
local last = tonumber(h[2]) or 0
if fence == 0 then return {epoch, 0} end
if fence == tonumber(h[3]) then return {epoch, 1} end -- a repeat
if fence < last or (fence == last and not h[1]) then return {epoch, 0} end
redis.call('HSET', KEYS[2], 'record', ARGV[2], 'version', text(rising(h[4])), 'fence', text(fence), 'committed', text(fence))
redis.call('HDEL', KEYS[2], 'node', 'until')
redis.call('PEXPIRE', KEYS[2], KEEP)
redis.call('PUBLISH', ARGV[4], 'p' .. ARGV[3])
return {epoch, 1}
