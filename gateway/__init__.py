"""Canary: polls devices, diagnoses them on the spot, and sends up only the moments that matter."""

from importlib.metadata import version

__version__ = version("canary-gateway")
