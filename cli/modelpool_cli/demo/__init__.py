"""`modelpool demo`: the whole service once, checked."""
