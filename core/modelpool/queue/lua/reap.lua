-- Look after one chunk of what is due. Returns {how many jobs moved, 1 when more is due}.
local moved = settle()
write_tally()
return {moved, #call('ZRANGEBYSCORE', key('due'), '-inf', now, 'LIMIT', 0, 1)}
