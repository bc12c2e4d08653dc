"""Draw values against each other as a scalable picture, for reports and for the manual."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

# In pixels of the picture: where the values begin and end.
_LEFT, _RIGHT, _TOP, _BOTTOM = 60.0, 620.0, 30.0, 304.0
_COLORS = ("#0b62a8", "#b4530a", "#3d7a3d", "#7b4fa0")
_WIDTH_OF_NAME = 185  # of a name in the legend
_MOST_TICKS = 7


class Point(NamedTuple):
    """A point: its label, both values, and whether a line joins it to its neighbours."""

    label: str
    x: float
    y: float
    is_joined: bool = True


def scatter_plot(series: Mapping[str, Sequence[Point]], x_title: str, y_title: str) -> Markup:
    """Return points as SVG.

    Parameters
    ----------
    series
        By name, at most as many as there are colours; points with a value that is not finite are
        left out.
    x_title, y_title
        What the values are.
    """
    kept = {
        name: [point for point in points if np.isfinite((point.x, point.y)).all()]
        for name, points in series.items()
    }
    every = np.array([(point.x, point.y) for points in kept.values() for point in points])
    (x_first, x_last), (y_first, y_last) = (
        _ends(values) for values in every.reshape(-1, 2).T.tolist()
    )

    def x_at(value: float) -> float:
        return round(_LEFT + (value - x_first) / (x_last - x_first) * (_RIGHT - _LEFT), 1)

    def y_at(value: float) -> float:
        return round(_BOTTOM - (value - y_first) / (y_last - y_first) * (_BOTTOM - _TOP), 1)

    plot: dict[str, Any] = {
        "x_title": x_title,
        "y_title": y_title,
        "x_ticks": [_tick(value, x_at(value)) for value in _ticks(x_first, x_last)],
        "y_ticks": [_tick(value, y_at(value)) for value in _ticks(y_first, y_last)],
        "series": [
            {
                "name": name,
                "color": color,
                "legend_at": _LEFT + i * _WIDTH_OF_NAME,
                "points": [
                    {"x": x_at(of.x), "y": y_at(of.y), "label": of.label, "joined": of.is_joined}
                    for of in points
                ],
            }
            for i, ((name, points), color) in enumerate(zip(kept.items(), _COLORS, strict=False))
        ],
    }
    template = files("recsys.evaluation").joinpath("scatter.svg.jinja").read_text("utf-8")
    drawn = Environment(autoescape=True, trim_blocks=True).from_string(template).render(plot=plot)
    return Markup(drawn)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis, with some room around its values; no value is negative."""
    first, last = min(values, default=0.0), max(values, default=1.0)
    margin = 0.08 * (last - first) or 0.5
    return max(first - margin, 0.0), last + margin


def _ticks(first: float, last: float) -> list[float]:
    """Return round numbers on an axis: four to eight, mostly."""
    magnitude = 10.0 ** np.floor(np.log10(last - first))
    steps = (magnitude * factor for factor in (0.1, 0.2, 0.5, 1.0, 2.0))
    step = next(step for step in steps if (last - first) / step <= _MOST_TICKS)
    return [float(i * step) for i in range(int(np.ceil(first / step)), int(last / step) + 1)]


def _tick(value: float, at: float) -> dict[str, Any]:
    return {"text": f"{value:.4g}", "at": at}
