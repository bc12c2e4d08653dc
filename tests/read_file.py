"""Read a file by one format module, without the checks of `recsys.ingest.validate`."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Found:
    """What a file held: rows by kind without the fields they do not give, rejects, and ignored."""

    articles: list[dict] = field(default_factory=list)
    clicks: list[dict] = field(default_factory=list)
    impressions: list[dict] = field(default_factory=list)
    rejects: list = field(default_factory=list)
    ignored: Counter = field(default_factory=Counter)


def read_file(read, folder: Path, data: str | bytes, kind=None, **options) -> Found:
    path = folder / "file"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    found = Found()
    for batch in read(path, kind, **options):
        rows = [{k: v for k, v in row.items() if v is not None} for row in batch.frame.to_dicts()]
        getattr(found, batch.kind).extend(rows)
        found.rejects += batch.rejects
        found.ignored += batch.ignored
    return found
