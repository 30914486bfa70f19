"""Hostile input at every door of the command line: refused in one line, or counted as a fault.

Thousands of different files, options, configurations, policies, reports and run directories are
made from a seed and given to the real command, each in a forked process with a folder of its own:

    python -m benchmarks.hostile --cases 5000 --seed 0

``case`` says what a case is, ``boxed`` runs one and looks at what it did, ``kinds`` lists all
doors; the other modules make the input.
"""
