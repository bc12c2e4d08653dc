import msgspec
import pytest
from conftest import BY_HAND, RECEIVED_MS, SAMPLE

from recsys.config import DataConfig
from recsys.errors import ConfigError
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.rows import HOUR_MS
from recsys.store.database import Store


@pytest.fixture
def filled(tmp_path):
    with Store(tmp_path / "s.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        yield store


def clicks_of(store):
    found = store.clicks(from_ms=0, before_ms=RECEIVED_MS)
    rows = zip(
        found.user_key.tolist(), found.article_key.tolist(), found.clicked_ms.tolist(), strict=True
    )
    return sorted(rows)


def test_what_is_older_goes_and_what_is_not_stays(filled):
    cut = RECEIVED_MS - 40 * HOUR_MS + 12_345  # within an hour, whose clicks are packed as one
    before = clicks_of(filled)
    views = filled.impressions(from_ms=0, before_ms=RECEIVED_MS)
    recent = [row for row in before if row[2] >= cut]
    found = filled.erasure.before(cut)
    assert clicks_of(filled) == recent
    assert 0 < found["clicks"] == len(before) - len(recent)
    left = filled.impressions(from_ms=0, before_ms=RECEIVED_MS)
    assert left.shown_ms.tolist() == views.shown_ms[views.shown_ms >= cut].tolist()
    # Readers of whom nothing is left are gone; all others are there.
    keys = set(left.user_key.tolist()) | {row[0] for row in recent}
    assert set(filled.users().keys.tolist()) == keys
    assert found["users"] > 0
    assert set(filled.erasure.before(cut).values()) == {0}


def test_a_night_keeps_as_many_days_as_it_is_told(filled, tmp_path):
    data = DataConfig(window_days=1.0, keep_days=1.5)
    config = msgspec.structs.replace(BY_HAND, data=data)
    report = run_nightly(filled, tmp_path / "p", as_of_ms=RECEIVED_MS, config=config)
    oldest = min(row[2] for row in clicks_of(filled))
    assert oldest >= RECEIVED_MS - 36 * HOUR_MS
    assert report.counts["erased_clicks"] > 0
    with pytest.raises(ConfigError, match="keep_days"):
        DataConfig(window_days=30.0, keep_days=10.0)


def test_by_default_everything_stays(filled, tmp_path):
    before = clicks_of(filled)
    run_nightly(filled, tmp_path / "p", as_of_ms=RECEIVED_MS, config=BY_HAND)
    assert clicks_of(filled) == before
