"""Factors after some clicks: what `recsys.blend.fold_in` asks for one reader."""

import numpy as np
from numpy.typing import NDArray

from recsys.kernels.library import address, brief, done, pointer, real, size

Floats = NDArray[np.float32]

brief.recsys_fold_in.argtypes = [pointer, pointer, size, pointer, size, real, pointer]


def fold_in(before: Floats, clicked: Floats, gram: Floats, confidence: float) -> Floats:
    """Return the factors of `recsys.blend.fold_in`, which says what they are."""
    n = len(before)
    after = np.empty(n, dtype=np.float32)
    done(
        brief.recsys_fold_in(
            address(before, np.float32, n), address(clicked, np.float32, len(clicked), n),
            len(clicked), address(gram, np.float32, n, n), n, confidence,
            address(after, np.float32, n),
        )
    )  # fmt: skip
    return after
