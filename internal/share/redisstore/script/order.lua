-- Gives an order. KEYS[2] is xp:orders: for each account "number =state identity order" of the
-- order in force, and in the field without a name the last number.
-- ARGV: account, state, 1 if it is to release, identity (when, whose, and whether it is to
-- release, so that a repeat is known), the highest number that the node had seen, the order,
-- channel.
local account, state, release, identity, seen, order, channel = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local function stops(s) return s ~= '' and s ~= ACTIVE end
local h = redis.call('HMGET', KEYS[2], '', account)
local last, last_state, last_identity = string.match(h[2] or '0 = ', '^(%d+) =(%S*) (%S*)')
if release and state == '' then state = last_state end
if h[2] and identity == last_identity and state == last_state then return {epoch} end
if stops(last_state) and not stops(state) and tonumber(last) > seen then -- they have crossed
  redis.call('PUBLISH', channel, 'o' .. h[2])
  return {epoch}
end
local number = text(rising(h[1]))
local told = number .. ' =' .. state .. ' ' .. identity .. ' ' .. order
redis.call('HSET', KEYS[2], '', number, account, told)
redis.call('PEXPIRE', KEYS[2], KEEP)
redis.call('PUBLISH', channel, 'o' .. told)
return {epoch}
