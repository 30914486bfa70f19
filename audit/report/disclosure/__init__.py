"""What the public profile withholds, and what an attacker could deduce of it (docs/disclosure.md).

``profile.public`` is the whole of it: inputs in, inputs out that hold nothing to be withheld.
"""
