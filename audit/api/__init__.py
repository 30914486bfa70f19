"""The same in Python: run an audit, open a finished one, and the estimates as functions of arrays.

The names are exported by ``audit`` itself: ``audit.run``, ``audit.load``, ``audit.memorization``, …
"""
