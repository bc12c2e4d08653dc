from datetime import UTC, date, datetime

import pandas as pd
import polars as pl
import pytest

from recsys.errors import InputRefusedError, StoreError
from recsys.ingest.frames import add_frame
from recsys.rows import iso, to_ms
from recsys.store.database import Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECEIVED_MS = to_ms(datetime(2026, 3, 2, tzinfo=UTC))
ARTICLES = {
    "article_id": ["a1", "a2"],
    "title": ["Harbour tunnel opens", "Coal exit"],
    "category": ["Local", None],
    "tags": [["port", "roads"], []],
    "published_at": [NOON, None],
    "mood": ["calm", "grim"],
}
CLICKS = {"user_id": ["u1", "u2"], "article_id": ["a1", "a9"], "clicked_at": [NOON, NOON]}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.db") as opened:
        yield opened


@pytest.mark.parametrize("frame_of", [pl.DataFrame, pd.DataFrame])
def test_articles_clicks_and_impressions_come_in_frames(store, frame_of):
    report = add_frame(store, "articles", frame_of(ARTICLES), received_ms=RECEIVED_MS)
    assert report.added["articles"].new == 2
    assert list(report.unknown_columns) == ["mood"]
    add_frame(store, "clicks", frame_of(CLICKS), received_ms=RECEIVED_MS)
    shown = {"user_id": ["u1"], "shown_at": [NOON], "shown": [["a1", "a2"]], "clicked": [["a2"]]}
    report = add_frame(store, "impressions", frame_of(shown), received_ms=RECEIVED_MS)
    assert report.added["clicks"].new == 1
    articles = store.articles(known_by_ms=RECEIVED_MS)
    assert list(articles.titles) == ["Harbour tunnel opens", "Coal exit", ""]
    assert list(articles.categories) == ["Local", "", ""]
    assert iso(int(articles.published_ms[0])) == "2026-03-01T12:00:00Z"
    clicks = store.clicks(from_ms=0, before_ms=RECEIVED_MS)
    assert len(clicks.user_key) == 3
    again = add_frame(store, "clicks", frame_of(CLICKS), received_ms=RECEIVED_MS)
    assert (again.added["clicks"].new, again.added["clicks"].known) == (0, 2)


def test_categories_of_pandas_and_dates_are_read_as_they_are_meant(store):
    frame = pd.DataFrame(ARTICLES).assign(
        category=pd.Series(["Local", "Local"], dtype="category"),
        published_at=[date(2026, 2, 28), date(2026, 2, 27)],
    )
    add_frame(store, "articles", frame, received_ms=RECEIVED_MS)
    articles = store.articles(known_by_ms=RECEIVED_MS)
    assert list(articles.categories) == ["Local", "Local"]
    assert iso(int(articles.published_ms[1])) == "2026-02-27T00:00:00Z"


def test_a_row_that_cannot_be_used_is_named_by_its_number(store):
    frame = pl.DataFrame(CLICKS | {"clicked_at": ["2026-03-01T12:00:00Z", "soon"]})
    report = add_frame(store, "clicks", frame, received_ms=RECEIVED_MS)
    assert report.added["clicks"].new == 1
    ((sample,),) = report.samples.values()
    assert sample.startswith("DataFrame of clicks, row 2: ")


def test_a_frame_without_rows_changes_nothing(store):
    assert not add_frame(store, "clicks", pl.DataFrame(CLICKS)[:0], received_ms=0).added


def test_a_frame_that_cannot_be_used_is_refused(store):
    with pytest.raises(InputRefusedError, match="no column 'clicked_at', needed for clicks"):
        add_frame(store, "clicks", pl.DataFrame({"article_id": ["a"]}), received_ms=0)
    mixed = pd.DataFrame({"article_id": ["a", 1.5, [2]], "clicked_at": [NOON] * 3})
    with pytest.raises(InputRefusedError, match="DataFrame of clicks: refused: cannot be read"):
        add_frame(store, "clicks", mixed, received_ms=0)
    store.require_user_key("a fingerprint")
    with pytest.raises(StoreError, match="hashed"):
        add_frame(store, "clicks", pl.DataFrame(CLICKS), received_ms=0)
