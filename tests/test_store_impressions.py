"""Impressions and the clicks they report: any split, order and repetition gives the same store."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from conftest import RECEIVED_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.rows import HOUR_MS, iso
from recsys.store.database import Store

T0 = RECEIVED_MS - 5 * HOUR_MS


def impression(**given):
    row = {"user_id": "u", "shown_at": iso(T0), "shown": ["a", "b", "c"]} | given
    return json.dumps({name: value for name, value in row.items() if value is not None})


def click(**given):
    return json.dumps({"user_id": "u", "article_id": "a", "clicked_at": iso(T0)} | given)


def contents(store):
    """Return everything the store holds of clicks and impressions, by ids instead of keys."""
    with closing(sqlite3.connect(store.path)) as conn:
        users = dict(conn.execute("SELECT user_key, user_id FROM users"))
        articles = dict(conn.execute("SELECT article_key, article_id FROM article_ids"))
        impressions = [
            (shown_at, users[user], [articles[k] for k in np.frombuffer(shown, "<i8").tolist()])
            + (clicked, clicked_at, articles.get(context), *rest)
            for shown_at, user, shown, clicked, clicked_at, context, *rest in conn.execute(
                "SELECT * FROM impressions"
            )
        ]
        clicks = [
            (clicked_at, users[user], articles[article], *rest)
            for clicked_at, user, article, *rest in conn.execute("SELECT * FROM clicks")
        ]
    return sorted(map(repr, impressions)), sorted(map(repr, clicks))


def load_lines(store, folder, *lines, name="i.jsonl"):
    path = Path(folder) / name
    path.write_text("".join(line + "\n" for line in lines))
    return load_files(store, expand([path]), received_ms=RECEIVED_MS)


def test_clicks_that_arrive_after_their_impression_are_kept(store, tmp_path):
    load_lines(store, tmp_path, impression(source="front"))
    report = load_lines(
        store, tmp_path, impression(clicked=["b"], clicked_at=iso(T0 + 9000), dwell_seconds=41)
    )
    assert (report.added["impressions"].new, report.added["impressions"].changed) == (0, 1)
    impressions, clicks = contents(store)
    assert clicks == [repr((T0 + 9000, "u", "b", 41.0, "front:2", 0, 0))]
    assert len(impressions) == 1


def test_a_click_moves_when_its_time_becomes_known(store, tmp_path):
    load_lines(store, tmp_path, impression(clicked=["a"], dwell_seconds=3))
    assert contents(store)[1] == [repr((T0, "u", "a", 3.0, None, 0, 0))]
    load_lines(store, tmp_path, impression(clicked=["c"], clicked_at=iso(T0 + 1000)))
    # Two articles were clicked, so it is not known which of them the reading time is of.
    assert contents(store)[1] == [
        repr((T0 + 1000, "u", "a", None, None, 0, 0)),
        repr((T0 + 1000, "u", "c", None, None, 0, 0)),
    ]
    assert store.clicks(from_ms=0, before_ms=2**53).clicked_ms.tolist() == [T0 + 1000] * 2


def test_a_click_of_a_log_stays_when_the_impression_moves_its_own(store, tmp_path):
    load_lines(store, tmp_path, impression(clicked=["a"], dwell_seconds=3))
    load_lines(store, tmp_path, click(source="log"))
    load_lines(store, tmp_path, impression(clicked_at=iso(T0 + 1000)))
    assert contents(store)[1] == [
        repr((T0, "u", "a", None, "log", 0, 5)),
        repr((T0 + 1000, "u", "a", 3.0, None, 0, 0)),
    ]


def test_examples_of_the_day_are_dropped_when_an_impression_changes(store, tmp_path):
    load_lines(store, tmp_path, impression())
    store.derived.put_examples(T0 + HOUR_MS, "n", b"x", oldest_ms=0, most=9)
    load_lines(store, tmp_path, impression())
    assert store.derived.examples(T0 + HOUR_MS, "n") == b"x"
    load_lines(store, tmp_path, impression(clicked=["a"]))
    assert store.derived.examples(T0 + HOUR_MS, "n") is None


INSTANTS = st.integers(0, 2).map(lambda i: iso(T0 + 1000 * i))
REPORTS = st.fixed_dictionaries(
    {"user_id": st.sampled_from(["u", "v"]), "shown_at": INSTANTS},
    optional={
        "shown": st.sampled_from([["a", "b"], ["b", "a"], ["a"]]),
        "clicked": st.sampled_from([["a"], ["b"], ["a", "b"], []]),
        "clicked_at": INSTANTS,
        "dwell_seconds": st.sampled_from([1, 2.5]),
        "article_id": st.sampled_from(["x", "y"]),
        "source": st.sampled_from(["front", "must_reads"]),
        "propensities": st.sampled_from([[0.5, 1.0], [1.0]]),
        "site": st.sampled_from(["s1", "s2"]),
        "variant": st.sampled_from(["a", "b"]),
    },
).map(lambda given: impression(**{"shown": ["a", "b"]} | given))
LOGGED = st.fixed_dictionaries(
    {"user_id": st.sampled_from(["u", "v"]), "clicked_at": INSTANTS},
    optional={
        "article_id": st.sampled_from(["a", "b"]),
        "dwell_seconds": st.sampled_from([0.5, 9]),
        "source": st.sampled_from(["log", "other"]),
    },
).map(lambda given: click(**given))


def known_clicks(store):
    """Return the clicks that a run would read: instant, user and reading time."""
    clicks, users = store.clicks(from_ms=0, before_ms=2**53), store.users()
    ids = [users.ids[index] for index in users.index_of_keys(clicks.user_key)]
    return sorted(
        zip(clicks.clicked_ms.tolist(), ids, clicks.dwell_seconds.astype(str), strict=True)
    )


@settings(deadline=None, max_examples=40)
@given(
    data=st.data(),
    reports=st.lists(REPORTS, min_size=1, max_size=8),
    logged=st.lists(LOGGED, max_size=5),
)
def test_any_split_order_and_repetition_gives_the_same_store(data, reports, logged):
    rows = [*reports, *logged]
    repeated = data.draw(st.lists(st.sampled_from(rows), max_size=4))
    order = data.draw(st.permutations([*rows, *repeated]))
    is_cut = data.draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    is_read = data.draw(st.booleans())
    with TemporaryDirectory() as folder:
        with Store(Path(folder) / "whole.db") as whole:
            load_lines(whole, folder, *reports)
            load_lines(whole, folder, *logged)
            expected, expected_clicks = contents(whole), known_clicks(whole)
        with Store(Path(folder) / "parts.db") as parts:
            part: list[str] = []
            for row, cut in zip(order, is_cut, strict=True):
                # A file holds rows of one kind.
                if part and (cut or ("shown_at" in row) != ("shown_at" in part[0])):
                    load_lines(parts, folder, *part)
                    part = []
                    if is_read:
                        parts.clicks(from_ms=0, before_ms=2**53)
                part.append(row)
            load_lines(parts, folder, *part)
            assert contents(parts) == expected
            assert known_clicks(parts) == expected_clicks
