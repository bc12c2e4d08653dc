"""Fuzz the code that reads one outside format, guided by coverage; needs `pip install atheris`.

    python scripts/fuzz.py csv corpus/ -max_total_time=600

Any bytes must give rows, rejected rows or a refused file. Inputs that reach new code are kept in
the corpus folder. An input that raises any other error is written to `crash-...` and ends the run.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["recsys.ingest", "recsys.ingest.load_files"]):
    from recsys.ingest.detect import READERS, expand
    from recsys.ingest.load_files import load_files
    from recsys.store.database import Store

RECEIVED_MS = 1_772_431_200_000  # 2 March 2026, 06:00 UTC
NAMES = {"mind": "behaviors.tsv", "html": "page.html", "rss": "feed.xml", "sitemap": "sitemap.xml"}


def main() -> None:
    """Fuzz the format that the first argument names; libFuzzer gets the other arguments."""
    name = next((known for known in READERS if [known] == sys.argv[1:2]), None)
    if name is None:
        raise SystemExit(f"fuzz.py: the first argument must be one of {', '.join(READERS)}")
    folder = Path(tempfile.mkdtemp())
    path = folder / NAMES.get(name, f"x.{name}")
    store = Store(folder / "s.db")

    def one(data: bytes) -> None:
        path.write_bytes(data)
        load_files(store, expand([path]), received_ms=RECEIVED_MS, format=name)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
