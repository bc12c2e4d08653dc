"""Which reader a file needs, from `--format`, its name, or its first bytes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from recsys.errors import InputRefusedError
from recsys.ingest import delimited, ebnerd, html, jsonl, mind, parquet, rss
from recsys.ingest.batches import UserState
from recsys.ingest.blocks import read_start

Format = Literal["jsonl", "csv", "parquet", "mind", "ebnerd", "html", "rss"]
FORMATS: tuple[str, ...] = get_args(Format)
READERS: dict[Format, UserState] = {
    "jsonl": jsonl.read,
    "csv": delimited.read,
    "parquet": parquet.read,
    "mind": mind.read,
    "ebnerd": ebnerd.read,
    "html": html.read,
    "rss": rss.read,
}
_ENDINGS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".tsv": "mind",
    ".html": "html",
    ".htm": "html",
    ".txt": "html",
    ".rss": "rss",
    ".atom": "rss",
    ".xml": "rss",
}


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files; a folder stands for the files below it whose ending we know.

    Raises
    ------
    InputRefusedError
        If a path does not exist, or a folder holds no file of a known ending.
    """
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise InputRefusedError(str(path), "no such file")
            yield path
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file() and _ending(p) in _ENDINGS)
        if not inside:
            raise InputRefusedError(str(path), "no file here has a known ending")
        yield from inside


def _ending(path: Path) -> str:
    name = path.name.lower()
    for packed in (".gz", ".zst"):
        name = name.removesuffix(packed)
    return Path(name).suffix


def format_of(path: Path) -> Format:
    """Return the format of a file, by name first, then by its first bytes.

    Raises
    ------
    InputRefusedError
        If neither tells.
    """
    by_name = _ENDINGS.get(_ending(path))
    start = read_start(path, 4096).lstrip(b"\xef\xbb\xbf \r\n\t")
    if by_name == "parquet" or start.startswith(parquet.MAGIC):
        found = set(parquet.columns(path))
        return "ebnerd" if found >= ebnerd.BEHAVIORS or found >= ebnerd.HISTORY else "parquet"
    if by_name:
        return by_name
    if start.startswith(b"{"):
        return "jsonl"
    lowered = start[:2048].lower()
    if lowered.startswith((b"<?xml", b"<rss", b"<feed")) and b"<html" not in lowered:
        return "rss"
    if b"<html" in lowered or b"<!doctype html" in lowered:
        return "html"
    raise InputRefusedError(
        str(path), f"unknown format; say --format with one of {', '.join(FORMATS)}"
    )
