-- Tells of a node. KEYS[2] is xp:nodes: for each node "seen agreed told": when it was seen,
-- its protocol and key check, and the rest. KEYS[3] is xp:orders, which stays as long as nodes
-- are there.
-- ARGV: node, agreed, told. Answer: the epoch, 1 if the node may join.
local node, agreed, told = ARGV[1], ARGV[2], ARGV[3]
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local seen, theirs = string.match(all[i + 1], '^(%d+) (%S+) ')
  local age = now - tonumber(seen)
  if age >= SHOWN then
    redis.call('HDEL', KEYS[2], all[i])
  elseif age < TTL and theirs ~= agreed and all[i] ~= node then
    return {epoch, 0}
  end
end
redis.call('HSET', KEYS[2], node, text(now) .. ' ' .. agreed .. ' ' .. told)
redis.call('PEXPIRE', KEYS[2], KEEP)
redis.call('PEXPIRE', KEYS[3], KEEP)
redis.call('PEXPIRE', KEYS[1], KEEP)
return {epoch, 1}
