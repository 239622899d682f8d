-- Return a reservation whose request came to nothing. ARGV: now, charge. Returns 1; 0 when it was returned before, or
-- when an equal request stands on it too, whose job may have come to be: `lapse` knows.
if call('HGET', key('charge', ARGV[2]), 'shared') then return 0 end
return give_back(ARGV[2], 'returned')
