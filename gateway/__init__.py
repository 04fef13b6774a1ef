"""Canary: polls devices, diagnoses them on the spot, and sends up only the moments that matter."""

__version__ = "0.1.0"
