"""The operator: decides which model sits where, and tells the truth about it."""
