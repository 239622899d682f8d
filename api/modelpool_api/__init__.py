"""The HTTP API: jobs in, results out, everything in between visible. It talks to Redis and the store, never to torch."""
