"""`hub.toml` to typed values, with all mistakes at once."""
