"""Pods as a runtime: what a slot's pod looks like, which pod comes and goes next, and what a pod says of itself."""
