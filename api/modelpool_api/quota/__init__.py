"""How much of a day's allowance is used, and by whom: ceilings, one atomic reservation over all of them, refunds."""
