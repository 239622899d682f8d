"""The batching queue: its port, and its implementation in Lua over Redis."""
