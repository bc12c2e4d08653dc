import json

from conftest import RECEIVED_MS

from recsys.config import Config
from recsys.rows import HOUR_MS
from recsys.training.window import read_training_window


def test_ids_that_are_numbers_date_old_articles(store, load):
    begin_ms = RECEIVED_MS - 100 * HOUR_MS
    clicks = [
        {"user_id": f"u{i}", "article_id": str(1000 + i), "clicked_at": begin_ms + i * HOUR_MS}
        for i in range(60)
    ]
    late_ms = begin_ms + 70 * HOUR_MS
    again = {"user_id": "u", "article_id": "1010", "clicked_at": late_ms}
    no_number = {"user_id": "u", "article_id": "1011.5", "clicked_at": late_ms}
    load({"c.jsonl": "".join(json.dumps(c) + "\n" for c in [*clicks, again, no_number])})
    window = read_training_window(store, RECEIVED_MS, Config())
    index_of = {article_id: index for index, article_id in enumerate(window.articles.id_map.ids)}
    assert window.written_ms[index_of["1010"]] == begin_ms + 10 * HOUR_MS
    # An id that is not a number gives no date, so the first click does.
    assert window.born_ms[index_of["1011.5"]] == late_ms
