"""Shared foundations: slot names, checks, records, settings, randomness. Imports nothing else of the package."""
