import json
from datetime import datetime

from conftest import IDS_ALONE

from recsys.rows import to_ms
from recsys.training.window import read_training_window


def test_a_click_after_as_of_on_an_earlier_impression_is_not_known(store, load):
    row = {
        "user_id": "u",
        "shown_at": "2026-03-01T10:00:00Z",
        "shown": ["a", "b"],
        "clicked": ["a"],
        "clicked_at": "2026-03-01T10:10:00Z",
    }
    load({"i.jsonl": json.dumps(row) + "\n"})
    between = to_ms(datetime.fromisoformat("2026-03-01T10:05:00+00:00"))
    window = read_training_window(store, between, IDS_ALONE)
    assert len(window.user_index) == 0
    assert len(window.live_rows) == 2
