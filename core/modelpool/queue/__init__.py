"""The batching queue: its port, the queue in Lua over Redis, and the same queue in plain Python."""
