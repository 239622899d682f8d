-- Return a reservation whose request came to nothing. ARGV: now, charge. Returns 1, or 0 when it was returned before.
return give_back(ARGV[2], 'returned')
