"""The forms in which the operator runs: beside a local supervisor, or in a Kubernetes cluster."""
