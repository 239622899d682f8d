"""Thin HTTP, one file a surface."""
