"""Detect the format of an input file, and expand folders into files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from recsys.errors import InputRefusedError
from recsys.ingest import delimited, ebnerd, html, jsonl, mind, parquet, rss
from recsys.ingest.batches import FormatReader
from recsys.ingest.blocks import BYTE_ORDER_MARK, read_start

Format = Literal["jsonl", "csv", "parquet", "mind", "ebnerd", "html", "rss"]
FORMATS: tuple[str, ...] = get_args(Format)
READERS: dict[Format, FormatReader] = {
    "jsonl": jsonl.read,
    "csv": delimited.read,
    "parquet": parquet.read,
    "mind": mind.read,
    "ebnerd": ebnerd.read,
    "html": html.read,
    "rss": rss.read,
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
    start = read_start(path, 4096).lstrip(BYTE_ORDER_MARK + b" \r\n\t")
    if by_name == "parquet" or start.startswith(parquet.MAGIC):
        found = set(parquet.column_names(path))
        return "ebnerd" if found >= ebnerd.BEHAVIORS or found >= ebnerd.HISTORY else "parquet"
    if by_name == "mind" and delimited.has_header(path):
        return "csv"
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
