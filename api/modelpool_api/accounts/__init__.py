"""Keys that are issued: to whoever asks for a free account, and to those who pay."""
