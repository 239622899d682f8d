"""Kubernetes, as far as the operator needs it: a narrow port, the real API server behind it, and one in memory."""
