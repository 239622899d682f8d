"""The ModelPool resource: quantities, spec, status, and the checks between fields."""
