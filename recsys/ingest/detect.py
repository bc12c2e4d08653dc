"""Detect the format of an input file, and expand folders into files."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from recsys.errors import InputRefusedError
from recsys.ingest import (
    access_log,
    delimited,
    ebnerd,
    ga4,
    ghost,
    html,
    jsonl,
    matomo,
    mind,
    parquet,
    rss,
    snowplow,
    wordpress,
    wxr,
)
from recsys.ingest.batches import Batch, FormatReader
from recsys.ingest.blocks import BYTE_ORDER_MARK, read_start
from recsys.rows import Kind

Format = Literal[
    "jsonl",
    "csv",
    "parquet",
    "mind",
    "ebnerd",
    "html",
    "rss",
    "wordpress",
    "wxr",
    "ghost",
    "ga4",
    "matomo",
    "snowplow",
    "access_log",
]
FORMATS: tuple[str, ...] = get_args(Format)
READERS: dict[Format, FormatReader] = {
    "jsonl": jsonl.read,
    "csv": delimited.read,
    "parquet": parquet.read,
    "mind": mind.read,
    "ebnerd": ebnerd.read,
    "html": html.read,
    "rss": rss.read,
    "wordpress": wordpress.read,
    "wxr": wxr.read,
    "ghost": ghost.read,
    "ga4": ga4.read,
    "matomo": matomo.read,
    "snowplow": snowplow.read,
    "access_log": access_log.read,
}
# Readers that find the id of an article in an address by a regular expression.
PATTERN_READERS: dict[Format, Callable[[Path, Kind | None, str], Iterator[Batch]]] = {
    "access_log": access_log.read,
    "ga4": ga4.read,
    "matomo": matomo.read,
    "snowplow": snowplow.read,
}
# How the files of a format begin, if their names are those of other formats.
_MATCHES: dict[Format, Callable[[bytes], bool]] = {
    "wxr": wxr.matches,
    "ghost": ghost.matches,
    "wordpress": wordpress.matches,
    "ga4": ga4.matches,
    "matomo": matomo.matches,
    "snowplow": snowplow.matches,
    "access_log": access_log.matches,
}
_FORMAT_OF_ENDING: dict[str, Format] = {
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
    ".log": "access_log",
}


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and for a folder all files below it whose ending is known, in sorted order.

    Raises
    ------
    InputRefusedError
        If a path does not exist, or a folder holds no file with a known ending.
    """
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise InputRefusedError(str(path), "no such file")
            yield path
            continue
        files = sorted(
            file
            for file in path.rglob("*")
            if file.is_file() and _ending(file) in _FORMAT_OF_ENDING
        )
        if not files:
            endings = " ".join(_FORMAT_OF_ENDING)
            raise InputRefusedError(str(path), f"no file in this folder ends in one of {endings}")
        yield from files


def _ending(path: Path) -> str:
    """Return the ending of a file's name without .gz or .zst, in lower case."""
    name = path.name.lower()
    for compressed_ending in (".gz", ".zst"):
        name = name.removesuffix(compressed_ending)
    return Path(name).suffix


def format_of(path: Path) -> Format:
    """Return the format of a file, from its name or else from its first bytes.

    Raises
    ------
    InputRefusedError
        If neither the name nor the first bytes are those of a known format.
    """
    by_name = _FORMAT_OF_ENDING.get(_ending(path))
    # The comments of an XML file and the text of a first post may be long.
    first_bytes = read_start(path)
    start = first_bytes.lstrip(BYTE_ORDER_MARK + b" \r\n\t")
    if by_name == "parquet" or start.startswith(parquet.MAGIC):
        found = set(parquet.column_names(path))
        if ebnerd.is_ebnerd(found):
            return "ebnerd"
        return "ga4" if found >= ga4.COLUMNS else "parquet"
    for name, matches in _MATCHES.items():
        if matches(first_bytes):
            return name
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
        str(path), f"unknown format; add --format with one of {', '.join(FORMATS)}"
    )
