"""Planted bugs: DP-SGD that is wrong on purpose, to see whether an audit notices.

Each has happened in published code (:mod:`audit.training.plants.catalogue` says where). They exist
for MLPs on the CPU's ensemble engine alone; docs/planted-bugs.md has what catches them.
"""

from audit.training.plants.catalogue import PLANTS, Plant, recipe, recipe_named

__all__ = ["PLANTS", "Plant", "recipe", "recipe_named"]
