"""Which models a slot holds: budgets, the next move towards an assignment, and the keeper that makes the moves."""
