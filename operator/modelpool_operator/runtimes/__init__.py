"""What brings workers to life: a local supervisor here, and others behind the same protocol."""
