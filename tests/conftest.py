"""Fixtures that several rooms' tests share. None needs the network or `../shared`."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from newsroom import SAMPLE, make

from recsys.config import Config, LearnConfig
from recsys.ingest.detect import expand
from recsys.ingest.load_files import LoadReport, load_files
from recsys.nightly.run import run_nightly
from recsys.nightly.run_report import RunReport
from recsys.rows import to_ms
from recsys.store.database import Store

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here")
RECEIVED_MS = to_ms(datetime.fromisoformat("2026-03-02T06:00:00+00:00"))

# Shipped weights, nothing learned: a night in a fraction of the time.
BY_HAND = Config(learn=LearnConfig(days=0))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "recsys.db") as opened:
        yield opened


@pytest.fixture
def load(store, tmp_path):
    """Load texts as files: load({"a.jsonl": text_or_bytes}, format=..., kind=...)."""

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
    store: Path
    folder: Path
    as_of: datetime
    report: RunReport


@pytest.fixture(scope="session")
def by_hand(sample, tmp_path_factory) -> Published:
    """The same newsroom by the shipped weights, whatever its readers' choices teach."""
    folder = tmp_path_factory.mktemp("by_hand")
    with Store(sample.store) as store:
        report = run_nightly(store, folder, as_of_ms=to_ms(sample.as_of), config=BY_HAND)
    return Published(sample.store, folder, sample.as_of, report)


@pytest.fixture(scope="session")
def newsroom(tmp_path_factory) -> Path:
    """A newsroom made by the real commands, for faults to happen in copies of it."""
    folder = tmp_path_factory.mktemp("newsroom") / "newsroom"
    make(folder)
    return folder


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Published:
    """The sample newsroom, ingested and published once for all tests."""
    root = tmp_path_factory.mktemp("sample")
    as_of = datetime.fromisoformat(json.loads((SAMPLE / "sample.json").read_text())["as_of"])
    with Store(root / "recsys.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=to_ms(as_of))
        report = run_nightly(store, root / "published", as_of_ms=to_ms(as_of), config=Config())
    return Published(root / "recsys.db", root / "published", as_of, report)
