-- Executes reports of a node, each about one key, as package ledger says.
-- KEYS: after KEYS[1] for each report xp:{key}:conn and the windows of the kinds in it.
-- xp:{key}:conn has a row for each node: [seq,seen,limit,have,busy,want,grant,has,since,asked],
-- and in it kind,limit,settled,held for each kind of permits that has a limit. A window of a
-- minute's kind has counts by "slot". The others have counts by "slot|name", and what counts
-- of them: "used" and the first slot, "first", as long as "here" is the running slot.
-- ARGV: node, its name, channel; for each report its key, seq, and limit, have, busy, want of
-- the slots; how many kinds come, and for each its number, limit, settled, held, want; how
-- many hours come, and for each its number, messages, recipients. Numbers are whole and not
-- negative.
-- Answer: the epoch; for each report 1 if it is stale, slots, nodes; then for each kind held,
-- used, next, if it is not stale.
local me, name, channel = ARGV[1], ARGV[2], ARGV[3]
local call, floor, max, min = redis.call, math.floor, math.max, math.min
local last_arg, last_key = 3, 1
local function arg()
  last_arg = last_arg + 1
  return tonumber(ARGV[last_arg])
end

-- Times of turns, in ms: of the remainder while each node has some, and of nodes that take
-- turns with one slot; between two demands of a row.
local REST_TURN, REST_GRACE = 60000, 10000
local SOLE_TURNS, LEAST_TURN, MOST_TURN, SOLE_GRACE = 4000, 1000, 4000, 2000
local ASK_AGAIN = 250
local LONG_AGO = -2 ^ 52

-- A row as it is stored, with its name in id.
local SEQ, SEEN, LIMIT, HAVE, BUSY, WANT, GRANT, HAS, SINCE, ASKED, KINDS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11

local key, conn  -- of the report
local rows, mine -- under the key

local function slot_of(k, t) return floor(t / SLOT[k]) end
local function leaves(k, slot) return (slot + SLOTS[k] + 1) * SLOT[k] end
local function of_minute(k) return SPAN[k] < HOUR end
local function live(r) return now < r[SEEN] + TTL end
local function need(r) return max(r[WANT], r[BUSY]) end

-- before returns whether row a stands before b: by the octets of their names. Lua's own order
-- is that of a language.
local function before(a, b)
  a, b = a.id, b.id
  for i = 1, min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function count(r)
  if live(r) then return max(r[HAVE], r[GRANT]) end
  if now < r[SEEN] + BUSY_FOR then return r[BUSY] end
  return 0
end

-- held returns how many permits of a kind a row holds, and the limit; nil without a limit.
local function held_of(r, k)
  for at = KINDS, #r, 4 do
    if r[at] == k then return r[at + 3], r[at + 1] end
  end
end

-- silent returns what counts of the permits that a silent node held for no message, and when
-- it leaves; then that of messages under way.
local function silent(r, held, k)
  local under = min(held, r[BUSY])
  local rest = held - under
  local rest_at, under_at = leaves(k, slot_of(k, r[SEEN] + TTL)), leaves(k, slot_of(k, r[SEEN] + BUSY_FOR))
  if now >= rest_at then rest = 0 end
  if now >= under_at then under = 0 end
  return rest, rest_at, under, under_at
end

local function is_over(r)
  if now < r[SEEN] + BUSY_FOR then return false end
  for at = KINDS, #r, 4 do
    local rest, _, under = silent(r, r[at + 3], r[at])
    if rest > 0 or under > 0 then return false end
  end
  return true
end

local function read_rows()
  rows, mine = {}, nil
  local all = call('HGETALL', conn)
  for i = 1, #all, 2 do
    local r = cjson.decode(all[i + 1])
    r.id = all[i]
    if is_over(r) then
      call('HDEL', conn, r.id)
    else
      rows[#rows + 1] = r
      if r.id == me then mine = r end
    end
  end
end

-- fill shares capacity among rows, and gives each its part: who wants no more than an equal
-- part gets what it wants, the others get equal parts. It returns the others, how many of them
-- get one more, and the part.
local function fill(some, capacity, want)
  local open, share = {}, 0
  for _, r in ipairs(some) do
    r.part = 0
    if want(r) > 0 then open[#open + 1] = r end
  end
  while #open > 0 do
    share = floor(capacity / #open)
    local more = {}
    for _, r in ipairs(open) do
      local n = want(r)
      if n <= share then
        r.part = n
        capacity = capacity - n
      else
        more[#more + 1] = r
      end
    end
    if #more == #open then break end
    open = more
  end
  for _, r in ipairs(open) do r.part = share end
  if #open == 0 then return open, 0, share end
  return open, capacity - share * #open, share
end

-- rank brings rows into the order in which they get one more.
local function rank(open, left, share)
  local turn, grace = REST_TURN, REST_GRACE
  if share == 0 then
    turn = min(max(floor(SOLE_TURNS * left / (#open - left)), LEAST_TURN), MOST_TURN)
    grace = min(turn, SOLE_GRACE)
  end
  for _, r in ipairs(open) do
    local age = now - r[SINCE]
    if max(r[HAVE], r[GRANT]) <= share then
      r.class = 1
    elseif r[HAS] == 1 and age < turn and (r[BUSY] > share or age < grace) then
      r.class = 0
    else
      r.class = 2
    end
  end
  table.sort(open, function(a, b)
    if a.class ~= b.class then return a.class < b.class end
    if a[SINCE] ~= b[SINCE] then
      if a.class == 1 then return a[SINCE] < b[SINCE] end
      return a[SINCE] > b[SINCE]
    end
    return before(a, b)
  end)
end

local function parked(r) return max(0, r[HAVE] - r.target) end

-- plan gives rows their targets. It returns the limit, and the most that a row can have of
-- what rows with a need share.
local function plan()
  local limit, taken, needs, some = 0, 0, 0, {}
  for _, r in ipairs(rows) do
    r.target, r.part = 0, 0
    if not live(r) or r[LIMIT] == 0 then
      taken = taken + count(r)
    else
      some[#some + 1] = r
      needs = needs + need(r)
      if limit == 0 or r[LIMIT] < limit then limit = r[LIMIT] end
    end
  end
  local capacity, most = max(0, limit - taken), needs
  if needs <= capacity then -- as fill finds in the end
    for _, r in ipairs(some) do r.target = need(r) end
    capacity = capacity - needs
  else
    local open, left, share = fill(some, capacity, need)
    if left > 0 then rank(open, left, share) end
    for i = 1, left do open[i].part = open[i].part + 1 end
    for _, r in ipairs(some) do
      r.target = r.part
      capacity = capacity - r.part
    end
    most = share + min(left, 1)
  end
  if capacity > 0 then
    local open, left = fill(some, capacity, parked)
    if left > 0 then table.sort(open, before) end
    for i = 1, left do open[i].part = open[i].part + 1 end
    for _, r in ipairs(some) do r.target = r.target + r.part end
  end
  return limit, most
end

-- tell tells nodes of a demand, and of slots that became free.
local function tell(was)
  local above, below = false, false
  for _, r in ipairs(rows) do
    if r ~= mine and live(r) then
      local n = count(r)
      above, below = above or n > r.target, below or n < r.target
    end
  end
  if above and mine[GRANT] < mine.target and now - mine[ASKED] >= ASK_AGAIN then
    mine[ASKED] = now
    call('PUBLISH', channel, 'd' .. key)
  end
  if below and max(mine[HAVE], mine[GRANT]) < was then
    call('PUBLISH', channel, 'f' .. key)
  end
end

-- slots executes the part about connections.
local function slots(limit, have, busy, want)
  local was, was_live, had_need = count(mine), live(mine), need(mine) > 0
  if not was_live then mine[GRANT], mine[HAS] = 0, 0 end
  mine[SEEN], mine[LIMIT], mine[HAVE], mine[BUSY], mine[WANT] = now, limit, have, min(busy, have), want
  if not was_live or (not had_need and need(mine) > 0) then mine[SINCE] = now end
  local least, most = plan()
  if limit == 0 then
    mine[GRANT], mine[HAS] = 0, 0
    tell(was)
    return max(have, want)
  end
  local free = least
  for _, r in ipairs(rows) do
    if r ~= mine then free = free - count(r) end
  end
  mine[GRANT] = min(mine.target, max(0, free))
  if now < since + TTL then mine[GRANT] = min(mine[GRANT], have) end
  local has = (need(mine) > 0 and mine[GRANT] >= min(need(mine), most)) and 1 or 0
  if has ~= mine[HAS] then mine[HAS], mine[SINCE] = has, now end
  tell(was)
  return mine[GRANT]
end

-- read_window reads what counts of a kind into w. Slots that nothing needs any more are taken
-- out. w.own gets what my name has counted, by slot; not for kinds of a minute.
local function read_window(w)
  local k, first = w.k, w.here - SLOTS[w.k]
  local kept = first
  if not of_minute(k) then kept = first - HOUR / SLOT[k] + 1 end
  local all = call('HGETALL', w.at)
  w.used, w.first, w.own = 0, nil, {}
  for i = 1, #all, 2 do
    local slot, whose = tonumber(all[i]), nil
    if not slot then
      slot, whose = string.match(all[i], '^(%d+)|(.*)$')
      slot = tonumber(slot)
    end
    if slot and slot < kept then
      call('HDEL', w.at, all[i])
    elseif slot then
      local n = tonumber(all[i + 1])
      if whose == name then w.own[slot] = n end
      if slot >= first then
        w.used = w.used + n
        if not w.first or slot < w.first then w.first = slot end
      end
    end
  end
end

-- window returns what counts of a kind.
local function window(k, at, whole)
  local w = {k = k, at = at, here = slot_of(k, now)}
  if of_minute(k) then
    read_window(w)
    return w
  end
  local h = call('HMGET', at, 'here', 'used', 'first')
  if tonumber(h[1]) == w.here and not whole then
    w.used, w.first = tonumber(h[2]), tonumber(h[3])
    return w
  end
  read_window(w)
  w.changed = true
  call('HSET', at, 'here', text(w.here))
  call('PEXPIRE', at, 2 * SPAN[k] + 2 * HOUR)
  return w
end

local function add(w, slot, n)
  if n <= 0 then return end
  if of_minute(w.k) then
    if call('HINCRBY', w.at, text(slot), n) == n then call('PEXPIRE', w.at, 2 * SPAN[w.k]) end
  else
    call('HINCRBY', w.at, text(slot) .. '|' .. name, n)
    w.changed = true
  end
  if slot >= w.here - SLOTS[w.k] then
    w.used = w.used + n
    if not w.first or slot < w.first then w.first = slot end
  end
end

-- raise raises what my name has counted in hours to what the report says.
local function raise(w, hours)
  local per_hour = HOUR / SLOT[w.k]
  for _, h in ipairs(hours) do
    local n = h.messages
    if w.k == RECIPIENTS then n = h.recipients end
    local first = min(h.number, floor(now / HOUR)) * per_hour
    local last = min(first + per_hour - 1, w.here)
    if first + per_hour - 1 >= w.here - SLOTS[w.k] then
      for slot = first, last do n = n - (w.own[slot] or 0) end
      if n > 0 then
        add(w, last, n)
        w.own[last] = (w.own[last] or 0) + n
      end
    end
  end
end

-- sooner returns the earlier of two moments, of which nil is none.
local function sooner(a, b)
  if not a or (b and b < a) then return b end
  return a
end

-- permits executes the part about one kind. p.had is what was settled at the last report.
local function permits(p, hours)
  local k, at = p.k, p.at
  local grants = since + TTL -- not before
  if of_minute(k) then grants = grants + SPAN[k] + SLOT[k] end
  local raises = #hours > 0 and not of_minute(k)
  local w = window(k, at, raises)
  if p.had and p.settled > p.had then
    local n = p.settled - p.had
    add(w, w.here, n)
    if raises then w.own[w.here] = (w.own[w.here] or 0) + n end
  end
  if raises then raise(w, hours) end
  if w.changed then call('HSET', at, 'used', text(w.used), 'first', w.first and text(w.first) or '') end
  local limit, used, soonest = p.limit, w.used + p.held, w.first and leaves(k, w.first)
  for _, r in ipairs(rows) do
    local held, most = held_of(r, k)
    if held and r ~= mine then
      if live(r) then
        used = used + held
        limit = min(limit, most)
      else
        local rest, rest_at, under, under_at = silent(r, held, k)
        used = used + rest + under
        if rest > 0 then soonest = sooner(soonest, rest_at) end
        if under > 0 then soonest = sooner(soonest, under_at) end
      end
    end
  end
  local held = p.held
  if now >= grants then held = max(held, min(p.want, held + max(0, limit - used))) end
  p.granted = held
  local wait = 0
  if held < p.want then
    soonest = max(soonest or 0, grants)
    if soonest <= now then soonest = now + RENEW_EVERY end
    wait = soonest - now
  end
  return held, used + held - p.held, wait
end

local answer = {epoch}
local function say(n) answer[#answer + 1] = n end

local function write_row(asked)
  local row = string.format('[%d,%d,%d,%d,%d,%d,%d,%d,%d,%d', unpack(mine, 1, ASKED))
  for _, p in ipairs(asked) do
    row = row .. string.format(',%d,%d,%d,%d', p.k, p.limit, p.settled, p.granted)
  end
  call('HSET', conn, me, row .. ']')
end

local function report()
  last_arg, last_key = last_arg + 1, last_key + 1
  key, conn = ARGV[last_arg], KEYS[last_key]
  local seq, limit, have, busy, want = arg(), arg(), arg(), arg(), arg()
  local asked, hours = {}, {}
  for i = 1, arg() do
    last_key = last_key + 1
    asked[i] = {at = KEYS[last_key], k = arg(), limit = arg(), settled = arg(), held = arg(), want = arg()}
  end
  for i = 1, arg() do
    hours[i] = {number = arg(), messages = arg(), recipients = arg()}
  end

  read_rows()
  if mine and seq <= mine[SEQ] then
    say(1) say(0) say(0)
    return
  end
  local expires = not mine or floor(mine[SEEN] / HOUR) ~= floor(now / HOUR)
  if not mine then
    mine = {seq, LONG_AGO, 0, 0, 0, 0, 0, 0, LONG_AGO, LONG_AGO, id = me}
    rows[#rows + 1] = mine
  end
  mine[SEQ] = seq
  say(0) say(slots(limit, have, busy, want))
  local nodes = 0
  for _, r in ipairs(rows) do
    if live(r) then nodes = nodes + 1 end
  end
  say(nodes)
  for _, p in ipairs(asked) do
    for i = KINDS, #mine, 4 do
      if mine[i] == p.k then p.had = mine[i + 2] end
    end
    local held, used, wait = permits(p, hours)
    say(held) say(used) say(wait)
  end
  write_row(asked)
  if expires then call('PEXPIRE', conn, KEEP_ROWS) end
end

while last_arg < #ARGV do report() end
return answer
