"""Signals that a user of this package gives: one number for each article and instant.

They are static signals beside those of `recsys.blend.signal_table`. The shipped weight of each is
0; what it is worth is learned. An article without a number has 0.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Computes a signal of the rows of a frame: `article_id` and `at`, the instant up to which data may
# be used. Returns one number for each row, or null or NaN where there is none.
SignalFunction = Callable[[pl.DataFrame], Any]
OwnSignals = Mapping[str, SignalFunction]
NO_OWN_SIGNALS: OwnSignals = {}

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def require_new_names(own: OwnSignals, taken: Iterable[str]) -> None:
    """Check the names of signals.

    Raises
    ------
    ConfigError
        If a name is taken, or is not of lower-case letters, digits and underscores.
    """
    taken = set(taken)
    for name in own:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"the name of a signal is lower-case letters, digits and underscores, got {name!r}"
            )
        if name in taken:
            raise ConfigError(f"signal {name}: recsys has a signal or a system of this name")


def own_values(own: OwnSignals, article_ids: Iterable[str], at_ms: Ints) -> dict[str, Floats]:
    """Return the signals of articles at instants, arrays of shape (n,), by name.

    Parameters
    ----------
    own
        The signals.
    article_ids
        The articles.
    at_ms : array of int64, shape (n,)
        The instant of each.
    """
    if not own:
        return {}
    rows = pl.DataFrame(
        {"article_id": pl.Series(list(article_ids), dtype=pl.String), "at": instants(at_ms)}
    )
    return {
        name: np.nan_to_num(numbers(compute(rows), len(rows), f"signal {name}"), nan=0.0)
        for name, compute in own.items()
    }


def instants(at_ms: Ints) -> pl.Series:
    """Return instants in ms as a column of datetimes in UTC."""
    return pl.Series(at_ms, dtype=pl.Int64).cast(pl.Datetime("ms", "UTC"))


def numbers(values: Any, n: int, what: str) -> Floats:
    """Return what a user's function returned as an array; null becomes NaN.

    Raises
    ------
    ConfigError
        If it is not `n` numbers, or one is infinite.
    """
    try:
        found = pl.Series(values).cast(pl.Float64).to_numpy().astype(np.float64)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise ConfigError(f"{what}: not a column of numbers: {error}") from error
    if len(found) != n:
        raise ConfigError(f"{what}: {n} numbers are needed, one for each row; got {len(found)}")
    if np.isinf(found).any():
        raise ConfigError(f"{what}: a number is infinite")
    return found


def from_table(table: pl.DataFrame, name: str) -> SignalFunction:
    """Return the signal of a table of numbers.

    Parameters
    ----------
    table
        `article_id`, `value`, and possibly `at` (a datetime in UTC): a value counts from this
        instant until the next one of its article. Without `at` it counts always.
    name
        Of the signal, for messages.

    Raises
    ------
    ConfigError
        If an article has two values, of one instant where the table has instants.
    """
    keys = [key for key in ("article_id", "at") if key in table.columns]
    twice = table.filter(table.select(keys).is_duplicated())
    if len(twice):
        row = twice.row(0, named=True)
        when = f" at {row['at'].isoformat()}" if "at" in row else ""
        raise ConfigError(f"signal {name}: two values of article {row['article_id']!r}{when}")
    if "at" not in table.columns:
        return lambda rows: rows.join(
            table.select("article_id", "value"), on="article_id", how="left", maintain_order="left"
        )["value"]
    history = table.select("article_id", "at", "value").sort("at")

    def value_at(rows: pl.DataFrame) -> pl.Series:
        found = (
            rows.with_row_index("row")
            .sort("at")
            .join_asof(
                history, on="at", by="article_id", strategy="backward", check_sortedness=False
            )
        )
        return found.sort("row")["value"]

    return value_at
