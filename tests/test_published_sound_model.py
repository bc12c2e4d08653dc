"""Whatever bytes a run holds, with every digest right, it is refused or served: never a crash."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta

import hostile_runs
import numpy as np
import pytest
from conftest import RECEIVED_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config import Config, LearnConfig
from recsys.config_page import FilterConfig, ListConfig
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.published import folder as published_folder
from recsys.store.database import Store

AS_OF = datetime(2026, 3, 2, 6, tzinfo=UTC)
SECTIONS = ("Politics", "Sports", "Culture")
WORDS = (
    "coal exit law goal keeper final opera stage tax vote harbour rain court school train".split()
)


def articles():
    rng = np.random.default_rng(1)
    for i in range(40):
        words = rng.choice(WORDS, 6)
        yield {
            "article_id": f"a{i}",
            "title": " ".join(words[:3]),
            "body": " ".join(words),
            "category": SECTIONS[i % 3],
            "url": f"https://news.example/{i}",
            "language": ("en", "de", "")[i % 3],
            "tags": ["eu"] if i % 4 == 0 else [],
            "vector": [i % 5 - 2.0, i % 3 - 1.0] if i % 7 else None,
            "published_at": (AS_OF - timedelta(hours=1 + i)).isoformat(),
        }


def clicks():
    rng = np.random.default_rng(2)
    for i in range(240):
        yield {
            "user_id": f"u{i % 12}",
            "article_id": f"a{int(rng.integers(40))}",
            "clicked_at": (AS_OF - timedelta(minutes=int(rng.integers(1, 60)))).isoformat(),
        }


def impressions():
    rng = np.random.default_rng(3)
    for i in range(60):
        shown = [f"a{j}" for j in rng.permutation(10)[:4]]
        yield {
            "user_id": f"u{i % 12}",
            "shown_at": (AS_OF - timedelta(minutes=60 + i)).isoformat(),
            "source": "popular_now",
            "shown": shown,
            "clicked": shown[: i % 2],
        }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The file of a small run whose settings have two layouts and a filter."""
    here = tmp_path_factory.mktemp("small")
    files = {"articles": articles(), "clicks": clicks(), "impressions": impressions()}
    for name, rows in files.items():
        (here / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    front = {
        "popular_now": ListConfig(slots=3),
        "politics": ListConfig(scorer="popular_in", filter=FilterConfig(section=("Politics",))),
        "latest_stories": ListConfig(exempt=True),
    }
    config = Config(learn=LearnConfig(days=0), layouts={"front": front})
    with Store(here / "s.db") as store:
        load_files(store, expand([here]), received_ms=RECEIVED_MS)
        as_of_ms = round(AS_OF.timestamp() * 1000)
        report = run_nightly(store, here / "p", as_of_ms=as_of_ms, config=config)
    return published_folder.run_path(here / "p", report.run_id)


def ended(run, folder, seed):
    """Return what came of serving the run with harm done to it."""
    target = folder / run.name
    hostile_runs.write_hostile(run, target, np.random.default_rng(seed))
    (folder / published_folder.POINTER).write_text(run.stem)
    return hostile_runs.serve(folder, ["u1", "u2"], ["a1", "a2", "a3"], AS_OF)


def test_a_run_without_harm_is_served(run, tmp_path):
    shutil.copy(run, tmp_path)
    (tmp_path / published_folder.POINTER).write_text(run.stem)
    assert hostile_runs.serve(tmp_path, ["u1"], ["a1", "a2"], AS_OF) == "served"


@pytest.fixture
def n_inputs(request, scale, record_property):
    n = request.param * scale if request.param == 2000 else request.param
    record_property("runs with harm done to them, digests right", n)
    return n


@pytest.mark.parametrize(
    "n_inputs", [60, pytest.param(2000, marks=pytest.mark.long)], ids=["few", "many"], indirect=True
)
def test_any_bytes_in_a_run_are_refused_or_served(run, tmp_path, n_inputs):
    found = Counter()

    @settings(max_examples=n_inputs, deadline=None, database=None)
    @given(st.integers(0, 2**63))
    def harmed(seed):
        found[ended(run, tmp_path, seed)] += 1

    harmed()
    assert found["refused"]
    assert found["served"]
