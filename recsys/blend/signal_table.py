"""The table of signals: one row each, and everything that follows from it.

The score of a user and a live article is the weighted sum of the signals in this table. A row
names a signal, its shipped weight, what it depends on, and the reason a slot gives where the
signal lifts an article most. Settings, learning, kernels, reasons and explanations read the table.

A new static signal is a function in `recsys.signals.static_signals` and a row here. A personal or
contextual signal also needs its computation in `recsys.blend.linear` and in the kernels
(`scoring.c`), whose header must name it in the same order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.checked import suggestion
from recsys.config import BlendConfig
from recsys.errors import ConfigError
from recsys.kernels.library import COMPUTED_SIGNALS
from recsys.signals import static_signals
from recsys.signals.static_signals import ArticlesAt

Kind = Literal["contextual", "personal", "static"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal of the score.

    Attributes
    ----------
    name
        Its name in settings, runs and explanations.
    kind
        "contextual": of the article being read and the candidate. "personal": of the user and
        the candidate. "static": of the candidate alone.
    weight
        Shipped weight; `[blend.weights]` changes it, and learning may replace it.
    label
        What an editor reads for it.
    reason
        Code of the reason that a slot gives where this signal lifts the article most; see
        `recsys.page.reasons`.
    may_be_negative
        Whether the learned weight may be below 0.
    compute
        Computes a static signal; None for the others.
    """

    name: str
    kind: Kind
    weight: float
    label: str
    reason: str
    may_be_negative: bool = False
    compute: Callable[[ArticlesAt], NDArray[np.float64]] | None = None


# The signals have their own scales: cosines and preferences in 0..1, log odds for the forecast. The
# weight of als is rounded from a conditional logit on EB-NeRD (clicks of 20-22 May 2023 among all
# live articles, and among those shown); those of text, vectors and affinity were compared on
# MIND (docs/evaluation.md). The weights of the context are set by hand: no log here says what
# readers of an article clicked among all live ones. That of context_vectors, beside that of
# context_text, agrees best with what people call similar. The forecast holds what popularity,
# click rate and recency say of an article; a publisher, or a night's learning, may add them beside
# it.
SIGNALS: tuple[Signal, ...] = (
    Signal(
        name="context_text",
        kind="contextual",
        weight=60.0,
        label="close to this article",
        reason="related",
    ),
    Signal(
        name="context_vectors",
        kind="contextual",
        weight=6.0,
        label="close in meaning to this article",
        reason="related",
    ),
    Signal(
        name="context_item_item",
        kind="contextual",
        weight=6.0,
        label="read together with this article",
        reason="read_together",
    ),
    Signal(
        name="context_category",
        kind="contextual",
        weight=1.5,
        label="same section as this article",
        reason="same_section",
    ),
    Signal(
        name="text",
        kind="personal",
        weight=30.0,
        label="close to what this user read",
        reason="because_read",
    ),
    Signal(
        name="vectors",
        kind="personal",
        weight=1.5,
        label="close in meaning to what this user read",
        reason="because_read",
    ),
    Signal(
        name="als",
        kind="personal",
        weight=1.2,
        label="read by similar users",
        reason="taste",
    ),
    Signal(
        name="affinity",
        kind="personal",
        weight=1.0,
        label="a section this user often reads",
        reason="section_taste",
    ),
    Signal(
        name="forecast_clicks",
        kind="static",
        weight=1.0,
        label="expected clicks, by its clicks so far",
        reason="popular",
        compute=static_signals.forecast_by_clicks,
    ),
    Signal(
        name="forecast_views",
        kind="static",
        weight=1.0,
        label="expected clicks, by how often it was shown and clicked",
        reason="popular",
        compute=static_signals.forecast_by_views,
    ),
    Signal(
        name="forecast_age",
        kind="static",
        weight=1.0,
        label="expected clicks, by its age",
        reason="new",
        compute=static_signals.forecast_by_age,
    ),
    Signal(
        name="popularity",
        kind="static",
        weight=0.0,
        label="clicked a lot",
        reason="popular",
        compute=static_signals.popularity,
    ),
    # Click rates know only what editors showed. A weight below 0 says: an article that was shown
    # and left alone is less likely to be found than one not shown yet (EB-NeRD: hit@5 .479 with a
    # free weight, .413 bounded at 0).
    Signal(
        name="ctr",
        kind="static",
        weight=0.0,
        label="clicked often when shown",
        reason="popular",
        may_be_negative=True,
        compute=static_signals.click_rate,
    ),
    Signal(
        name="recency",
        kind="static",
        weight=0.0,
        label="new",
        reason="new",
        compute=static_signals.recency,
    ),
)

FORECAST = ("forecast_clicks", "forecast_views", "forecast_age")  # the signals it is the sum of
# The score without anything learned: the shipped weights, with the shipped forecast.
HAND_WEIGHTS = {row.name: row.weight for row in SIGNALS} | {
    **dict.fromkeys(FORECAST, 0.0),
    "popularity": static_signals.SHIPPED_POPULARITY,
    "ctr": static_signals.SHIPPED_CLICK_RATE,
    "recency": static_signals.SHIPPED_RECENCY,
}

if tuple(row.name for row in SIGNALS if row.kind != "static") != COMPUTED_SIGNALS:
    raise ImportError(
        f"the kernels compute the signals {', '.join(COMPUTED_SIGNALS)}; the table of signals"
        " must name the same contextual and personal ones first, in this order"
    )


def signal_names(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of the signals of some kinds (by default of all), in table order."""
    return tuple(row.name for row in SIGNALS if not kinds or row.kind in kinds)


def signal_weights(config: BlendConfig) -> dict[str, float]:
    """Return the weight of each signal: that of the settings, otherwise the shipped one.

    Raises
    ------
    ConfigError
        If the settings name a signal that is not in the table.
    """
    known = signal_names()
    for name in config.weights:
        if name not in known:
            raise ConfigError(f"unknown signal blend.weights.{name}{suggestion(name, known)}")
    return {row.name: config.weights.get(row.name, row.weight) for row in SIGNALS}


def static_values(articles: ArticlesAt) -> Mapping[str, NDArray[np.float64]]:
    """Return every static signal of articles, unweighted, by name."""
    return {row.name: row.compute(articles) for row in SIGNALS if row.compute is not None}
