"""Detect the format of an input file, and expand folders into files."""

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from recsys.errors import InputRefusedError, printable_path
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
    npy,
    parquet,
    rss,
    sitemap,
    snowplow,
    wordpress,
    wxr,
)
from recsys.ingest.batches import Batch, FormatReader
from recsys.ingest.blocks import BYTE_ORDER_MARK, read_start
from recsys.ingest.encodings import unicode_as_utf8
from recsys.ingest.markup import decode_markup, root_name
from recsys.rows import Kind

Format = Literal[
    "jsonl",
    "csv",
    "parquet",
    "npy",
    "mind",
    "ebnerd",
    "html",
    "rss",
    "sitemap",
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
    "npy": npy.read,
    "mind": mind.read,
    "ebnerd": ebnerd.read,
    "html": html.read,
    "rss": rss.read,
    "sitemap": sitemap.read,
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
# Readers that take ids from the name of a file (see `InputFile`).
NAMED_READERS: dict[Format, Callable[[Path, Kind | None, str], Iterator[Batch]]] = {
    "html": html.read,
    "rss": rss.read,
}
# How the files of a format begin, if their names are those of other formats.
_MATCHES: dict[Format, Callable[[bytes], bool]] = {
    "npy": npy.matches,
    "wxr": wxr.matches,
    "ghost": ghost.matches,
    "wordpress": wordpress.matches,
    "ga4": ga4.matches,
    "matomo": matomo.matches,
    "snowplow": snowplow.matches,
    "access_log": access_log.matches,
    "sitemap": sitemap.matches,
}
_FORMAT_OF_ENDING: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".npy": "npy",
    ".tsv": "mind",
    ".html": "html",
    ".htm": "html",
    ".txt": "html",
    ".rss": "rss",
    ".atom": "rss",
    ".xml": "rss",
    ".log": "access_log",
}

_COMPRESSED_ENDINGS = (".gz", ".zst", ".bz2", ".xz")
# What log rotation adds to a name: `.1`, `-20260301`, `.2026-03-01`, `.2026-03-01T10`.
_ROTATION = re.compile(r"[.-]\d+([-_.:t]\d+)*$")
_ARRAY = re.compile(rb"\[\s*\{")  # of objects
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}
_PARTIAL_ENDINGS = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload")
_BACKUP_ENDINGS = ("~", ".bak", ".orig", ".old", ".swp")


class InputFile(NamedTuple):
    """A file to read, or one that was found in a folder and is not read.

    Attributes
    ----------
    path
        Where the file is.
    name
        Its path relative to the folder that was given, with `/`; the name of the file alone if the
        file was given by itself. It identifies a saved page and what has no address of its own.
    skipped
        Why the file is not read; "" if it is.
    """

    path: Path
    name: str
    skipped: str = ""


def expand(paths: Iterable[Path]) -> Iterator[InputFile]:
    """Yield files, and for a folder all files below it, each file once.

    The files of a folder come in natural order: `articles-9` before `articles-10`. Links to folders
    are followed. A file that is not data is yielded with the reason for which it is skipped. A
    folder in which there is nothing to read is yielded itself; `require_file` refuses it.

    Parameters
    ----------
    paths
        Files and folders. A path that does not exist is yielded; `require_file` refuses it.
    """
    read: dict[str, str] = {}
    for path in paths:
        is_folder = os.path.isdir(path)
        found = _files_below(path) if is_folder else [_input_file(path, path.parent, _ids(path))]
        for file in found:
            real = os.path.realpath(file.path)
            if not file.skipped and real in read:
                yield file._replace(skipped=f"the same file as {read[real]}")
                continue
            if not file.skipped:
                read[real] = printable_path(str(file.path))
            yield file
        if is_folder and all(file.skipped for file in found):
            yield _input_file(path, path.parent)


def _input_file(path: Path, folder: Path, skipped: str = "") -> InputFile:
    return InputFile(path, printable_path(path.relative_to(folder).as_posix()), skipped)


def _files_below(folder: Path) -> list[InputFile]:
    """Return the files below a folder, and what is skipped there, in natural order.

    A folder, and a file, that several links lead to is taken once, by its own path if that lies
    below `folder` as well.
    """
    found: list[InputFile] = []
    links: list[Path] = []
    visited: set[str] = set()
    # Links wait at the end, so that a folder is visited by its own path before any link to it.
    pending = deque([folder])
    while pending:
        inside = pending.popleft()
        real = os.path.realpath(inside)
        if real in visited:
            found.append(_input_file(inside, folder, "a link to a folder that is read already"))
            continue
        visited.add(real)
        try:
            children = list(inside.iterdir())
        except OSError:
            found.append(_input_file(inside, folder))  # refused by `require_file`
            continue
        for child in children:
            if reason := _not_data(child.name):
                found.append(_input_file(child, folder, reason))
            elif os.path.isdir(child):
                (pending.append if os.path.islink(child) else pending.appendleft)(child)
            elif os.path.islink(child):
                links.append(child)
            else:
                found.append(_input_file(child, folder, _unknown(child)))
    taken = {os.path.realpath(file.path) for file in found if not file.skipped}
    for link in links:
        real = os.path.realpath(link)
        reason = "a link to a file that is read already" if real in taken else _unknown(link)
        taken.add(real)
        found.append(_input_file(link, folder, reason))
    return sorted(found, key=lambda file: _natural_order(file.name))


def _natural_order(name: str) -> tuple[list[str | int], str]:
    """Return a key that sorts numbers in names by value.

    Examples
    --------
    >>> sorted(["a-10.csv", "a-9.csv", "a.csv"], key=_natural_order)
    ['a-9.csv', 'a-10.csv', 'a.csv']
    """
    parts = re.split("([0-9]+)", name)  # texts and numbers in turn, beginning with a text
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def _not_data(name: str) -> str:
    """Return why a file or folder of this name is not data; "" if it may be."""
    lowered = name.lower()
    if lowered.startswith("._") or lowered == ".ds_store" or lowered in _SYSTEM_FILES:
        return "a file of the operating system"
    if lowered.startswith("."):
        return "hidden"
    if lowered.endswith(_BACKUP_ENDINGS) or (lowered.startswith("#") and lowered.endswith("#")):
        return "a backup copy"
    if lowered.endswith(_PARTIAL_ENDINGS):
        return "a partial file"
    return ""


def _unknown(path: Path) -> str:
    """Return why a file of a folder is skipped, such as an unknown format; "" if it is to be read.

    What cannot be opened is not skipped, so that it is refused.
    """
    if reason := _ids(path):
        return reason
    if _ending(path) in _FORMAT_OF_ENDING or not os.path.isfile(path):
        return ""
    try:
        start = unicode_as_utf8(read_start(path))
    except InputRefusedError:
        return ""
    return "" if _format_of_start(start) else "its format is not known, by its name or its content"


def _ids(path: Path) -> str:
    """Return why a file of ids is skipped; "" for any other file."""
    return "the ids of the vectors beside it" if npy.is_ids_file(path) else ""


def _ending(path: Path) -> str:
    """Return the ending of a file's name in lower case.

    The endings of compressed files and of rotated logs do not count: `clicks.csv.2.gz` is `.csv`.
    """
    name = path.name.lower()
    while (ending := Path(name).suffix) not in _FORMAT_OF_ENDING:
        shorter = name.removesuffix(ending) if ending in _COMPRESSED_ENDINGS else name
        shorter = _ROTATION.sub("", shorter)
        if shorter == name:
            break
        name = shorter
    return ending


def require_file(path: Path) -> None:
    """Check that a path is a file that can be opened without waiting.

    Raises
    ------
    InputRefusedError
        If it does not exist, is a folder, or is a pipe or a device.
    """
    if os.path.isdir(path):
        raise InputRefusedError(str(path), "no file in this folder can be read")
    if not os.path.exists(path):
        raise InputRefusedError(str(path), "no such file")
    if not os.path.isfile(path):
        # Opening a pipe would wait for whoever writes to it.
        raise InputRefusedError(str(path), "not a regular file")


def format_of(path: Path) -> Format:
    """Return the format of a file, from its first bytes or else from its name.

    Raises
    ------
    InputRefusedError
        If neither the name nor the first bytes are those of a known format.
    """
    by_name = _FORMAT_OF_ENDING.get(_ending(path))
    # The comments of an XML file and the text of a first post may be long.
    start = unicode_as_utf8(read_start(path))
    if by_name == "parquet" or start.startswith(parquet.MAGIC):
        found = set(parquet.column_names(path))
        if ebnerd.is_ebnerd(found):
            return "ebnerd"
        return "ga4" if found >= ga4.COLUMNS else "parquet"
    detected = _format_of_start(start, by_name)
    if detected is None:
        raise InputRefusedError(
            str(path), f"unknown format; add --format with one of {', '.join(FORMATS)}"
        )
    return "csv" if detected == "mind" and delimited.has_header(path) else detected


def _format_of_start(start: bytes, by_name: Format | None = None) -> Format | None:
    """Return the format of a file that begins with these bytes; by default that of its name."""
    for name, matches in _MATCHES.items():
        if matches(start):
            return name
    root = root_name(decode_markup(start))
    if root in rss.ROOTS:
        return "rss"
    if root == "html" and by_name in (None, "rss"):
        return "html"
    if by_name:
        return by_name
    start = start.lstrip(BYTE_ORDER_MARK + b" \r\n\t")
    if start.startswith(parquet.MAGIC):
        return "parquet"
    if start.startswith(b"{") or _ARRAY.match(start):
        return "jsonl"
    return "html" if b"<html" in start[:2048].lower() else None
