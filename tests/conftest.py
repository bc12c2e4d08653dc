"""Fixtures that the tests of several modules share; none needs the network or `../shared`."""

import json
import shutil
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import settings
from newsroom import SAMPLE, make

from recsys.blend.live_model import UserState
from recsys.config import Config, DataConfig, LearnConfig
from recsys.errors import HeldBackError
from recsys.ingest.detect import expand
from recsys.ingest.load_files import LoadReport, load_files
from recsys.learn.past_runs import PastRuns
from recsys.nightly.run import run_nightly
from recsys.nightly.run_report import RunReport
from recsys.page import list_table
from recsys.page.rules import Rule
from recsys.published import connection, user_rows
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, Impressions, to_ms
from recsys.serving.loaded_run import LoadedRun
from recsys.serving.recommender import Recommender
from recsys.store.database import Store

# The time that an example takes says how busy the computer is, and nothing about the code.
settings.register_profile("any computer", deadline=None)
settings.load_profile("any computer")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here")
RECEIVED_MS = to_ms(datetime.fromisoformat("2026-03-02T06:00:00+00:00"))
LISTS = tuple(row.name for row in list_table.LISTS)  # of an article's page

# Settings that serve the shipped weights: without learning, a run takes a fraction of the time.
BY_HAND = Config(learn=LearnConfig(days=0))
# The same for logs of ids alone, without articles.
IDS_ALONE = Config(learn=LearnConfig(days=0), data=DataConfig(require_title=False))
# Settings that learn from one day, also where it has few choices.
QUICK = Config(learn=LearnConfig(days=1, min_choices=100))
# The chance that a user of `biased_log` looks at a position; positions begin with 1.
LOOKED = np.array([1.0, 1.0, 0.6, 0.4, 0.25])


def pytest_addoption(parser):
    parser.addoption(
        "--scale", type=int, default=1, help="the long tests take so many times as many inputs"
    )


def pytest_terminal_summary(terminalreporter):
    """Print how much was tried: the sums of what tests note by `record_property`."""
    tried: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for what, n in report.user_properties:
            tried[what] += n
    for what, n in sorted(tried.items()):
        terminalreporter.write_line(f"tried: {n:,} {what}")


@pytest.fixture(scope="session")
def scale(request) -> int:
    """How many times as many inputs the long tests take."""
    return request.config.getoption("--scale")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "recsys.db") as opened:
        yield opened


@pytest.fixture
def load(store, tmp_path):
    """Return a function that loads texts as files: load({"a.jsonl": text}, format=...)."""

    def load_texts(texts, **options) -> LoadReport:
        paths = []
        for name, text in texts.items():
            path = tmp_path / name
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            paths.append(path)
        return load_files(store, expand(paths), received_ms=RECEIVED_MS, **options)

    return load_texts


@dataclass(frozen=True)
class Published:
    """A newsroom that was ingested and published, and the report of its run."""

    store: Path
    folder: Path
    as_of: datetime
    report: RunReport


def current_run(folder: Path) -> LoadedRun:
    """Return the current run of a folder as a server holds it."""
    return LoadedRun(folder, published_folder.require_current(folder))


def user_state(run: LoadedRun, user_id: str) -> UserState:
    """Return the state of a user that a run knows, with counts as of the run."""
    for path in run.paths:
        with closing(connection.connect(path)) as conn:
            row = user_rows.find_profile(conn, user_id, path)
        if row is not None:
            return run.users.state_at(row[0], run.as_of_ms)
    raise KeyError(user_id)


def rule(kind, value, **fields):
    """Return an editor's rule about an article."""
    given = {"by": "article", "author": "Ann", "reason": "because", "starts_ms": 0} | fields
    return Rule(**{"rule_id": "r1", "kind": kind, "value": value} | given)


def biased_log(n, rng, source="you_may_also_like"):
    """Return impressions of four of eight articles, looked at with the chances `LOOKED`."""
    appeal = np.linspace(0.1, 0.8, 8)
    shown = np.stack([rng.permutation(8)[:4] for _ in range(n)])
    # In two of three impressions the better articles have the higher positions.
    best_first = -np.sort(-shown, axis=1)
    shown = np.where(rng.random((n, 1)) < 0.67, best_first, shown)
    clicked = rng.random((n, 4)) < appeal[shown] * LOOKED[1:]
    return Impressions(
        user_key=np.arange(n),
        context_key=np.full(n, -1),
        shown_ms=np.arange(n),
        start=np.arange(0, 4 * n + 1, 4),
        article_key=shown.ravel().astype(np.int64),
        clicked=clicked.ravel(),
        clicked_ms=np.arange(n),
        source=[source] * n,
        propensity=np.ones(4 * n),
    )


@pytest.fixture(scope="session")
def sample_store(tmp_path_factory):
    """A store that holds the sample, without any run; open for all tests of a process."""
    with Store(tmp_path_factory.mktemp("sample_store") / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
        yield store


@pytest.fixture(scope="session")
def by_hand(sample, tmp_path_factory) -> Published:
    """The sample newsroom, published with the shipped weights."""
    folder = tmp_path_factory.mktemp("by_hand")
    with Store(sample.store) as store:
        report = run_nightly(store, folder, as_of_ms=to_ms(sample.as_of), config=BY_HAND)
    return Published(sample.store, folder, sample.as_of, report)


@pytest.fixture
def folder(by_hand, tmp_path):
    """A copy of the folder of `by_hand`, which has one run."""
    to = tmp_path / "published"
    shutil.copytree(by_hand.folder, to)
    return to


@pytest.fixture
def held(by_hand, folder, tmp_path):
    """Return the name of a run that was held back beside the run of `folder`."""
    path = tmp_path / "recsys.db"
    shutil.copy(by_hand.store, path)
    old = msgspec.structs.replace(BY_HAND, data=DataConfig(max_age_hours=2.0, active_hours=0.1))
    with Store(path) as store, pytest.raises(HeldBackError) as caught:
        run_nightly(store, folder, as_of_ms=to_ms(by_hand.as_of) + HOUR_MS, config=old)
    assert "recsys publish" in str(caught.value)
    return caught.value.run_id


@pytest.fixture(scope="session")
def refreshed(sample, tmp_path_factory):
    """A folder with a nightly run and two refreshes, and the naive twin of each.

    A twin computes every user from the whole store.
    """
    folder = tmp_path_factory.mktemp("refreshed")
    instants = [to_ms(sample.as_of) - hours * HOUR_MS for hours in (12, 7, 0)]
    with Store(sample.store) as store:
        reports = [
            run_nightly(store, folder, as_of_ms=at, config=BY_HAND, kind=kind)
            for at, kind in zip(instants, ("nightly", "refresh", "refresh"), strict=True)
        ]
        past = PastRuns(store, BY_HAND)
        twins = [past.nightly(instants[0], instants[0])]
        for at in instants[1:]:
            twins.append(past.refresh(twins[-1], at, at))
    return folder, reports, twins


@pytest.fixture(scope="session")
def newsroom(tmp_path_factory) -> Path:
    """A newsroom made by the real commands; tests make faults happen in copies of it."""
    folder = tmp_path_factory.mktemp("newsroom") / "newsroom"
    make(folder)
    return folder


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Published:
    """The sample newsroom, published once for all tests, with weights that it learned."""
    root = tmp_path_factory.mktemp("sample")
    as_of = datetime.fromisoformat(json.loads(SAMPLE.with_suffix(".json").read_text())["as_of"])
    with Store(root / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=to_ms(as_of))
        report = run_nightly(store, root / "published", as_of_ms=to_ms(as_of), config=Config())
    return Published(root / "recsys.db", root / "published", as_of, report)


@pytest.fixture(scope="session")
def recommender(sample) -> Recommender:
    """A server of the sample newsroom."""
    return Recommender(sample.folder)
