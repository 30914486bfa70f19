"""One-run bounds the slow, obvious way, and the worst mechanism there is, by linear programming."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from scipy import optimize, stats


def steinke_p_value(m, r, v, epsilon, delta):
    """The algorithm as the paper prints it (Appendix D), for fair coins."""
    q = 1 / (1 + math.exp(-epsilon))
    tail = stats.binom.sf(v - 1, r, q)
    largest = total = 0.0
    for i in range(1, v + 1):
        total += stats.binom.pmf(v - i, r, q)
        largest = max(largest, total / i)
    return min(1.0, tail + 2 * m * delta * largest)


def fdp_rejects_gaussian(m, g, c, mu, level):
    """The recursion with the Gaussian curve in closed form, for fair coins."""
    right, wrong = level * c / m, level * (g - c) / m
    for i in range(c - 1, -1, -1):
        more = max(wrong, stats.norm.cdf(stats.norm.ppf(min(1.0, right)) - mu))
        right += i / (g - i) * (more - wrong)
        wrong = more
        if right + wrong >= g / m:
            return True
    return False


def sup_convolution(f, wrong, p, cells=20000):
    """max over u + w = wrong of p f(u/(1 − p)) + (1 − p) f(w/p), on a grid."""
    u = np.linspace(max(0.0, wrong - p), min(1 - p, wrong), cells)
    return float((p * f(u / (1 - p)) + (1 - p) * f(np.clip((wrong - u) / p, 0, 1))).max())


def worst_mechanism(m, g, c, guarantees, p):
    """Largest P[at least c of at most g guesses right] of any mechanism on m coins.

    The mechanism knows all bits and prints the guesses itself; all it has to obey is every
    (ε, δ) of ``guarantees`` in every bit. Exact, by linear programming.
    """
    bits = list(product((0, 1), repeat=m))
    outputs = [t for t in product((0, 1, None), repeat=m) if sum(x is not None for x in t) <= g]
    n_s, n_t = len(bits), len(outputs)
    pairs = [
        (i, bits.index((*s[:k], 1 - s[k], *s[k + 1 :])))
        for i, s in enumerate(bits)
        for k in range(m)
    ]
    # Variables: P[t | s], then per guarantee and pair the excess of each output.
    n_p = n_s * n_t
    size = n_p * (1 + m * len(guarantees))
    gain = np.zeros(size)
    for i, s in enumerate(bits):
        weight = math.prod(p if bit else 1 - p for bit in s)
        for j, t in enumerate(outputs):
            right = sum(x == bit for x, bit in zip(t, s, strict=True))
            gain[i * n_t + j] = weight * (right >= c)
    rows, limits = [], []
    start = n_p
    for epsilon, delta in guarantees:
        for one, other in pairs:
            for j in range(n_t):
                rows.append(
                    ([one * n_t + j, other * n_t + j, start + j], [1.0, -math.exp(epsilon), -1.0])
                )
                limits.append(0.0)
            rows.append((list(range(start, start + n_t)), [1.0] * n_t))
            limits.append(delta)
            start += n_t
    from scipy.sparse import csr_matrix

    def matrix(lines):
        data = np.concatenate([v for _, v in lines])
        columns = np.concatenate([i for i, _ in lines])
        starts = np.concatenate([[0], np.cumsum([len(i) for i, _ in lines])])
        return csr_matrix((data, columns, starts), shape=(len(lines), size))

    sums = matrix([(list(range(i * n_t, (i + 1) * n_t)), [1.0] * n_t) for i in range(n_s)])
    found = optimize.linprog(
        -gain, A_ub=matrix(rows), b_ub=limits, A_eq=sums, b_eq=np.ones(n_s), bounds=(0, None)
    )
    assert found.status == 0
    return -float(found.fun)
