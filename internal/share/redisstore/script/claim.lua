-- Claims the right to refresh a chain. KEYS[2] is xp:{chain}:tok: record, version, fence (the
-- highest ever given), committed (the last with which a record was published), and while the
-- claim is open node and until.
-- ARGV: node, how long the claim lasts in ms.
-- Answer: the epoch, the fence, version, record.
local node, ends = ARGV[1], text(now + tonumber(ARGV[2]))
local h = redis.call('HMGET', KEYS[2], 'node', 'until', 'fence', 'version', 'record')
local fence = '0'
if h[1] and now < tonumber(h[2]) then
  if h[1] == node then fence = h[3] end
elseif now >= since + TTL then
  fence = text(rising(h[3]))
end
if fence ~= '0' then
  redis.call('HSET', KEYS[2], 'node', node, 'until', ends, 'fence', fence)
  redis.call('PEXPIRE', KEYS[2], KEEP)
end
return {epoch, fence, h[4] or '0', h[5] or ''}
