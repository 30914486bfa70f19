"""Audit what models memorize, what (ε, δ) allows, and which subgroups pay for privacy."""

__version__ = "0.1.0"
