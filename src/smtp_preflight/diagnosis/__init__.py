"""From what was seen to causes, by pure functions."""
