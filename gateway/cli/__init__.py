"""What a person types: `canary run`, `canary check`, `canary demo`."""
