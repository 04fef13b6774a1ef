"""From an episode to what is done about it: owner, desk, case."""
