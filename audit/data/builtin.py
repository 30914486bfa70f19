"""The data sets that come with the tool: no network, no files to place."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from audit.data.examples import Examples
from audit.data.splits import stratified_test_rows

_DIGITS_TEST = 500
_DIGITS_SPLIT_SEED = 0
# Each pixel counts the black dots of a 4×4 block: 16 by construction, so a public constant.
_DIGITS_MAXIMUM = np.float32(16)


def digits() -> Examples:
    """scikit-learn's 1,797 handwritten digits, 8×8 grey values: 1,297 to train on, 500 to test.

    The split is always the same (its own seed 0, not the run's), so that all audits of ``digits``
    speak about the same training examples.
    """
    pixels, labels = load_digits(return_X_y=True)
    x = np.asarray(pixels, dtype=np.float32) / _DIGITS_MAXIMUM
    y = np.asarray(labels, dtype=np.int64)
    test = stratified_test_rows(y, n_test=_DIGITS_TEST, seed=_DIGITS_SPLIT_SEED)
    return Examples(
        name="digits",
        x_train=x[~test],
        y_train=y[~test],
        x_test=x[test],
        y_test=y[test],
        class_names=tuple(str(digit) for digit in range(10)),
        feature_names=tuple(f"pixel {row},{col}" for row in range(8) for col in range(8)),
        input_shape=(1, 8, 8),
        source="digits",
        licence="CC BY 4.0 (UCI Optical Recognition of Handwritten Digits, test part; "
        "Alpaydin & Kaynak 1998)",
        default_subgroups=("subpopulations", "class"),
        notes={
            "split": "stratified, 500 test rows, fixed (seed 0 whatever the run's seed)",
            "scaling": "divided by 16, the largest possible value (a public constant)",
        },
    )
