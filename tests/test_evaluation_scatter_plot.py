import math
import xml.etree.ElementTree as ET

import pytest

from recsys.evaluation.scatter_plot import Point, scatter_plot

SVG = "{http://www.w3.org/2000/svg}"


def circles(picture):
    return [
        (float(found.get("cx")), float(found.get("cy")))
        for found in ET.fromstring(picture).iter(f"{SVG}circle")
        if float(found.get("cy")) < 310  # the legend is below
    ]


def test_points_are_where_their_values_say():
    picture = scatter_plot(
        {"a": [Point("p", 1.0, 10.0), Point("q", 2.0, 20.0), Point("r", 1.5, 15.0, False)]},
        "x",
        "y",
    )
    p, q, r = circles(picture)
    # 8 % of the span is left free on each side: of 560 and 274 pixels each 1 / 1.16 is used.
    assert q[0] - p[0] == pytest.approx(560 / 1.16, abs=0.2)
    assert p[1] - q[1] == pytest.approx(274 / 1.16, abs=0.2)
    line = next(ET.fromstring(picture).iter(f"{SVG}polyline"))
    assert line.get("points").split() == [f"{x},{y}" for x, y in (p, q)]
    # Ticks are round: at 1, 1.2 and so on up to 2.
    texts = [found.text for found in ET.fromstring(picture).iter(f"{SVG}text")]
    assert {"1", "1.2", "1.4", "1.6", "1.8", "2", "10", "12", "20"} <= set(texts)
    assert r == pytest.approx(((p[0] + q[0]) / 2, (p[1] + q[1]) / 2), abs=0.2)


def test_names_are_escaped_and_values_that_are_not_finite_are_left_out():
    picture = scatter_plot({"<b>": [Point("&", 1.0, 1.0), Point("gone", math.nan, 1.0)]}, "x", "y")
    assert len(circles(picture)) == 1
    texts = [found.text for found in ET.fromstring(picture).iter(f"{SVG}text")]
    assert "<b>" in texts
    assert "&" in texts
    assert "gone" not in texts


def test_no_points_have_a_picture_too():
    assert circles(scatter_plot({"a": []}, "x", "y")) == []
