-- Somebody asks for what costs no units, but us some work. ARGV: now, an id, rate counter, ms a request, burst.
-- Returns {'ok', now} or {'fast', now, wait}.
local told, rate = key('told', ARGV[2]), key('rate', ARGV[3])
if call('EXISTS', told) == 1 then return {'ok', now} end -- our own reply was lost
local next_at, early = paced(call('GET', rate), tonumber(ARGV[4]), tonumber(ARGV[5]))
if not next_at then return {'fast', now, early} end
keep_pace(rate, next_at)
call('SET', told, '', 'PX', WAIT_MS)
return {'ok', now}
