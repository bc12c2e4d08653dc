"""Read a file by one format module, without the checks of `recsys.ingest.validate`.

Bodies and summaries are given as text, as `validate` reads them.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from recsys.ingest.text import body_of_html


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
        getattr(found, batch.kind).extend({**row, **_texts(row)} for row in rows)
        found.rejects += batch.rejects
        found.ignored += batch.ignored
    return found


def _texts(row: dict) -> dict[str, str]:
    return {name: body_of_html(row[name]) for name in ("body", "summary") if name in row}
