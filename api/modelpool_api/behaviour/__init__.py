"""Patterns of use that no person has: noticed, counted, and, where the operator says so, answered gently."""
