"""How a part of the blend was learned, for the report of a run."""

from dataclasses import dataclass


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
