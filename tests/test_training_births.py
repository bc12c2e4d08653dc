import json

import numpy as np
import pytest
from conftest import BY_HAND, RECEIVED_MS

from recsys import Recommender
from recsys.config import Config
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.rows import HOUR_MS, UNKNOWN_TIME, from_ms, iso
from recsys.signals.timeline import NEVER
from recsys.training.births import Births
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


@pytest.mark.parametrize(
    ("published", "first_published", "first_seen", "born"),
    [
        (10, 10, NEVER, 10),  # published once
        (10, 10, 12, 10),
        (10, 10, 8, 10),  # a log may have a click before the publication
        (20, 10, 12, 12),  # dated again after it was seen
        (20, 10, 8, 10),
        (20, 10, NEVER, 20),  # nothing was seen of it: the new date counts
        (20, 10, 22, 20),
        (40, 10, NEVER, 40),  # put off until after the end of the window
        (UNKNOWN_TIME, UNKNOWN_TIME, 12, 12),
        (UNKNOWN_TIME, 10, NEVER, 5),  # its date was cleared: the arrival of the text counts
    ],
)
def test_a_later_date_does_not_make_an_article_new_that_was_seen(
    published, first_published, first_seen, born
):
    births = Births(
        published_ms=np.array([published]),
        first_published_ms=np.array([first_published]),
        first_seen_ms=np.array([first_seen]),
        added_ms=np.array([5]),
        serial=np.array([np.nan]),
    )
    assert births.born_ms_at(30).tolist() == [born]
    if first_seen == 12:  # what is seen later is not known yet
        assert births.born_ms_at(12).tolist() == [5 if published == UNKNOWN_TIME else published]


def test_an_article_dated_again_each_hour_does_not_lead_for_ever(store, load, tmp_path):
    begin_ms = RECEIVED_MS - 40 * HOUR_MS
    articles = [
        {"article_id": f"a{i}", "title": f"bridge{i} harbour{i} opens{i}", "category": f"S{i % 5}"}
        | {"published_at": iso(begin_ms + (30 * HOUR_MS if i else 0))}
        for i in range(12)
    ]
    # The old article was read at first, as others are read now.
    clicks = [
        {"user_id": f"u{k}", "article_id": f"a{i}"}
        | {"clicked_at": iso(begin_ms + (31 if i else 1) * HOUR_MS + k * 60_000)}
        for i in range(6)
        for k in range(20)
    ]
    load(
        {
            "a.jsonl": "".join(json.dumps(row) + "\n" for row in articles),
            "c.jsonl": "".join(json.dumps(row) + "\n" for row in clicks),
        }
    )
    folder = tmp_path / "p"
    as_of_ms = RECEIVED_MS
    run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
    recommender = Recommender(folder)

    def leads(at_ms):
        page = recommender.recommend(as_of=from_ms(at_ms))
        return [page[name][0].article_id for name in ("must_reads", "latest_stories")]

    assert "a0" not in leads(as_of_ms)
    for _ in range(3):
        as_of_ms += HOUR_MS
        again = articles[0] | {"published_at": iso(as_of_ms - 60_000)}
        path = tmp_path / f"again{as_of_ms}.jsonl"
        path.write_text(json.dumps(again))
        load_files(store, [path], received_ms=as_of_ms)
        run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND, kind="refresh")
        assert "a0" not in leads(as_of_ms)
    # A night that begins without a base run finds the same.
    window = read_training_window(store, as_of_ms, BY_HAND)
    at = list(window.articles.id_map.ids).index("a0")
    assert window.born_ms[at] == begin_ms + HOUR_MS
    assert window.articles.published_ms[at] == as_of_ms - 60_000


def test_an_article_whose_date_is_moved_to_the_future_is_not_live(store, load):
    row = {"article_id": "a", "title": "Bridge", "published_at": iso(RECEIVED_MS - HOUR_MS)}
    click = {"user_id": "u", "article_id": "a", "clicked_at": iso(RECEIVED_MS - 1000)}
    later = row | {"published_at": iso(RECEIVED_MS + HOUR_MS)}
    load({f"{i}.jsonl": json.dumps(line) for i, line in enumerate((row, click))})
    assert len(read_training_window(store, RECEIVED_MS, Config()).live_rows) == 1
    load({"3.jsonl": json.dumps(later)})
    key = read_training_window(store, RECEIVED_MS + 2 * HOUR_MS, Config()).articles.id_map.keys
    announced = read_training_window(store, RECEIVED_MS, Config(), announced_keys=key)
    assert len(announced.live_rows) == 0
    assert len(read_training_window(store, RECEIVED_MS + 2 * HOUR_MS, Config()).live_rows) == 1
