"""The supervisor behind `modelpool up`: parent of Redis, operator, API and workers on one machine.

It is what the kubelet is elsewhere: it keeps processes alive and tells the operator about them, and knows nothing of
models, placement or jobs.
"""
