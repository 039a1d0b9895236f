-- What all scripts begin with. KEYS[1] is xp:epoch: the run id of the server that last ran a
-- script, and since when it has had the data without a break. A server that was started
-- again, one that was a replica, and one whose data was flushed begin another epoch. now is
-- the time in ms.

-- rising returns a number above last. It rises over a loss of the data too.
local function rising(last) return math.max((tonumber(last) or 0) + 1, now) end

-- text writes a whole number.
local function text(n) return string.format('%d', n) end

local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local since -- the reset of package ledger
do
  local was, when = string.match(redis.call('GET', KEYS[1]) or '', '^(%x+) (%d+)$')
  if was == run then
    since = tonumber(when)
  else
    since = now
    redis.call('SET', KEYS[1], run .. ' ' .. text(now), 'PX', KEEP)
  end
end
local epoch = run .. '-' .. text(since)

