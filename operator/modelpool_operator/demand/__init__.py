"""How much each model is asked for, whatever the source."""
