"""Where a pool is written down: a file, or a custom resource."""
