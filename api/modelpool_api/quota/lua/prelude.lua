-- Shared by the ledger's scripts. KEYS[1] is the prefix, ARGV[1] the time in ms (empty: Redis's own clock).
--   use:<day>:<counter>   units used on that UTC day
--   charge:<id>           hash: price, state, counters (spaces between), witness, repeat, body (its fingerprint), shared, and
--                         moved: counters and the units put into each beside the price
--   pending               zset: charges whose job has not been seen yet, by the time of the reservation
--   repeat:<key>          the charge of an Idempotency-Key
--   rate:<counter>        when the next request would be on time (generic cell rate algorithm)
--   shed:<day>:<counter>  units of requests that were turned away and counted as demand
--   ring:<day>:<name>     how often one subject has asked for the same without a seed
--   told:<charge>         an answer that has counted something and left no charge: whether it is demand, if it is a shed
--   seen:<what>:<name>    what has been seen of somebody: a number, or a set that tells about how many are in it
--   settled:<stream>      how far a pool's stream of refunds has been read
-- States of a charge: reserved, kept (its job has been seen), returned (no job came), refunded (its job ended unhappily),
-- spent (no job came, and what came instead has cost us: nothing gives it back).

local call = redis.call
local function key(kind, one, two)
  if two then return KEYS[1] .. ':' .. kind .. ':' .. one .. ':' .. two end
  if one then return KEYS[1] .. ':' .. kind .. ':' .. one end
  return KEYS[1] .. ':' .. kind
end

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- How long a counter of a day that lasts for another `rest` ms is kept.
local function life(counter, rest)
  return rest + (counter:sub(1, #ACCOUNT_PREFIX) == ACCOUNT_PREFIX and USAGE_MS or KEEP_MS)
end

-- The generic cell rate algorithm, one request each `interval` ms and `burst` at one moment; `kept` is the rate's number.
-- Returns when the one after this would be on time, or nil and how many ms this one is early.
local function paced(kept, interval, burst)
  local next_at = math.max(tonumber(kept or 0), now)
  if next_at > now + burst * interval then next_at = now end -- the clock went back
  local early = next_at - (burst - 1) * interval - now
  if early > 0 then return nil, math.ceil(early) end
  return next_at + interval
end

local function keep_pace(rate, next_at)
  call('SET', rate, string.format('%.17g', next_at), 'PX', math.ceil(next_at - now) + 1000)
end

-- Give a charge's units back into the day that they were taken from; once.
local function give_back(id, state)
  local charge = key('charge', id)
  local found = call('HMGET', charge, 'state', 'price', 'counters', 'repeat', 'moved')
  if found[1] ~= 'reserved' and found[1] ~= 'kept' then return 0 end
  local function lower(counter, amount)
    local left = call('GET', counter)
    if left then call('DECRBY', counter, math.min(tonumber(left), tonumber(amount))) end -- minus 0 is no integer to Redis
  end
  for counter in found[3]:gmatch('%S+') do lower(counter, found[2]) end
  for counter, amount in (found[5] or ''):gmatch('(%S+) (%d+)') do lower(counter, amount) end
  call('HSET', charge, 'state', state)
  call('ZREM', key('pending'), id)
  if state == 'returned' and found[4] and call('GET', found[4]) == id then call('DEL', found[4]) end
  return 1
end
