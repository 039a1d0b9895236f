-- Lists the nodes that were announced lately. KEYS[2] is xp:nodes, see announce.lua.
-- Answer: the epoch, and for each node its name and what is kept of it.
local answer = {epoch}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  if now - tonumber(string.match(all[i + 1], '^%d+')) < SHOWN then
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = all[i + 1]
  end
end
return answer
