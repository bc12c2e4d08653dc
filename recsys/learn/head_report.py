"""How a part of the blend was learned, for the report of a run."""

from dataclasses import dataclass

import numpy as np

VALIDATION_SHARE = 0.25  # of the choices: the latest ones


@dataclass(frozen=True, slots=True)
class HeadReport:
    """How a head was learned, for the run's report.

    Attributes
    ----------
    n
        Number of choices, those of the validation included.
    learned, shipped
        AUC of the learned and of the shipped head on the validation choices: the latest
        quarter, which is not learned from. None with too few choices to learn from or to judge.
    used
        Whether the learned head is served; otherwise the shipped weights are.
    why
        Why the learned head is not served; or a setting that the validation chose.
    """

    n: int
    learned: float | None
    shipped: float | None
    used: bool
    why: str


def judged(
    n: int,
    learned: float,
    shipped: float,
    chosen: str,
    *,
    shipped_is: str = "weights",
    is_used: bool | None = None,
) -> HeadReport:
    """Return the report of a head, which is served if it does better than the shipped one.

    Parameters
    ----------
    n, learned, shipped
        See `HeadReport`; NaN for an AUC that is not defined.
    chosen
        What the report says of a head that is served.
    shipped_is
        What is served otherwise.
    is_used
        Whether the learned head is served; by default if it does better.
    """
    if not np.isfinite([learned, shipped]).all():
        why = f"none of the latest {VALIDATION_SHARE:.0%} of {n} choices holds a click"
        return HeadReport(n, None, None, False, why)
    used = learned > shipped if is_used is None else is_used
    why = chosen if used else f"no better than the shipped {shipped_is}"
    return HeadReport(n, round(learned, 4), round(shipped, 4), used, why)
