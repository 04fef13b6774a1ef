"""Measured figures beside the budgets: `make bench`. Nothing here asserts a time; a person reads the table."""
