import json

from conftest import LISTS, RECEIVED_MS

from recsys.learn.impressions import positions
from recsys.rows import HOUR_MS


def test_logged_propensities_are_stored_and_wrong_ones_rejected(store, load):
    shown = {"user_id": "u", "shown": ["a", "b"], "clicked": ["b"], "source": "you_may_also_like"}
    rows = [
        shown | {"shown_at": RECEIVED_MS - HOUR_MS, "propensities": [1.0, 0.1]},
        shown | {"shown_at": RECEIVED_MS - 2 * HOUR_MS},
        shown | {"shown_at": RECEIVED_MS - 3 * HOUR_MS, "propensities": [1.0]},
        shown | {"shown_at": RECEIVED_MS - 4 * HOUR_MS, "propensities": [1.0, 0.0]},
    ]
    report = load({"i.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    assert sum(report.rejected.values()) == 2
    assert {field for _, field in report.rejected} == {"propensities"}
    kept = store.impressions(from_ms=0, before_ms=RECEIVED_MS)
    assert kept.propensity.tolist() == [1.0, 1.0, 1.0, 0.1]  # oldest first
    assert kept.source == ["you_may_also_like"] * 2
    assert positions(kept, LISTS).tolist() == [1, 2, 1, 2]
