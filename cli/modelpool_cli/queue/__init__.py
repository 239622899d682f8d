"""`modelpool queue`: looking into the queue and acting on it by hand, straight in Redis."""
