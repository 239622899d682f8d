-- Take `price` units under every ceiling, or none at all, and count what is seen of whoever asks.
-- ARGV: now, day, price, charge, witness, repeat key or '', fingerprint, ring name or '', rate counter or '', ms a request,
-- burst, how many ceilings, counter and limit ('' for none) of each, then what is counted (see `observe`).
-- Returns {'ok', now, seen, nth, used…}, {'known', now, seen, nth, used…, charge}, {'over', now, seen, index, used…},
-- {'fast', now, seen, wait}, {'conflict', now, seen}, {'unusual', now, seen}, {'elsewhere', now, witness} or {'day', now}.
local day, price, charge, witness, again, body, ring, rate = tonumber(ARGV[2]), tonumber(ARGV[3]), unpack(ARGV, 4, 9)
local interval, burst, ceilings = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
if math.floor(now / DAY_MS) ~= day then return {'day', now} end
local rest = (day + 1) * DAY_MS - now

local before, its_body, its_witness
if again ~= '' then
  again = key('repeat', again)
  before = call('GET', again)
  if before then its_body, its_witness = unpack(call('HMGET', key('charge', before), 'body', 'witness')) end
  its_body = its_body or body
  -- The same request again, and its job is, or will be, in another pool: it shall ask for that one.
  if its_witness and its_witness ~= witness and its_body == body then return {'elsewhere', now, its_witness} end
end

-- When it has been answered already, our own reply was lost and this was sent again: nothing is counted twice.
local record, told = key('charge', charge), key('told', charge)
local resent = call('EXISTS', record, told) > 0
local seen, unusual = observe(13 + 2 * ceilings, not resent)
local changed = #seen > 0

local function without_charge(answer)
  if changed and not resent then call('SET', told, '', 'PX', WAIT_MS) end
  return answer
end

-- Refusals that cost us something, too, come no faster than what is let in. Returns how many ms this one is early.
rate = rate ~= '' and key('rate', rate)
local function early_by(kept)
  if not rate or resent then return nil end
  local next_at, early = paced(kept, interval, burst)
  if not next_at then return early end
  keep_pace(rate, next_at)
  changed = true
end

if unusual then
  local early = early_by(rate and call('GET', rate))
  return without_charge(early and {'fast', now, seen, early} or {'unusual', now, seen})
end

-- All that is to be known of numbers comes in one call.
local today = KEYS[1] .. ':use:' .. day .. ':'
local names, used, answer = {}, {}, {'ok', now, seen, 0}
for i = 1, ceilings do names[i] = today .. ARGV[11 + 2 * i] end
local counters = table.concat(names, ' ')
ring = ring ~= '' and key('ring', day, ring)
if rate then names[#names + 1] = rate end
if ring then names[#names + 1] = ring end
local stands = #names > 0 and call('MGET', unpack(names)) or {}
for i = 1, ceilings do
  used[i] = tonumber(stands[i] or 0)
  answer[i + 4] = used[i]
end
local on_time = rate and stands[ceilings + 1]
local nth = ring and stands[#names]

-- The place in the ring that the same request has been given before.
local function place_before() return math.max(0, tonumber(nth or 0) - 1) end

if before and before ~= charge then
  -- What another request has paid for is not this one's.
  if its_body ~= body then return without_charge({'conflict', now, seen}) end
  -- The same request again. It costs no units, but work.
  local early = early_by(on_time)
  if early then return without_charge({'fast', now, seen, early}) end
  -- While its job has not been seen it may still be on its way: wait for it anew.
  if call('ZSCORE', key('pending'), before) then
    call('ZADD', key('pending'), now, before)
    call('HSET', key('charge', before), 'shared', 1)
  end
  answer[1], answer[4] = 'known', place_before()
  answer[#answer + 1] = before
  return without_charge(answer)
end

if resent and call('EXISTS', record) == 1 then
  answer[4] = place_before()
  return answer
end

-- First what comes too fast, then what is too much: a refusal changes nothing.
local next_at, early
if rate then
  next_at, early = paced(on_time, interval, burst)
  if not next_at then return without_charge({'fast', now, seen, early}) end
end
local tightest, left
for i = 1, ceilings do
  local limit = tonumber(ARGV[12 + 2 * i])
  if limit and used[i] + price > limit and (not left or limit - used[i] < left) then
    tightest, left = i, limit - used[i]
  end
end
if tightest then
  answer[1], answer[4] = 'over', tightest - 1
  return without_charge(answer)
end

-- Raise a number; the first time says how long it is kept.
local function raise(name, before, amount, kept)
  if before then return call('INCRBY', name, amount) end
  call('SET', name, amount, 'PX', kept)
  return amount
end

if rate then keep_pace(rate, next_at) end
for i = 1, ceilings do answer[i + 4] = raise(names[i], stands[i], price, life(ARGV[11 + 2 * i], rest)) end
if again ~= '' then
  call('HSET', record, 'price', price, 'state', 'reserved', 'counters', counters, 'witness', witness, 'repeat', again,
    'body', body)
  call('SET', again, charge, 'PX', REPEAT_MS)
else
  call('HSET', record, 'price', price, 'state', 'reserved', 'counters', counters, 'witness', witness)
end
call('PEXPIRE', record, KEEP_MS)
call('ZADD', key('pending'), now, charge)
call('PEXPIRE', key('pending'), KEEP_MS)
if ring then answer[4] = raise(ring, nth, 1, rest + 60000) - 1 end
return answer
