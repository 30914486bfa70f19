"""The papers' experiments made again: each prints published against measured."""
