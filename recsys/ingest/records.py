"""Split lines into records of separated fields, so that damage costs the damaged line only.

The grammar is that of RFC 4180. A field is quoted if its first character, after blanks, is a quote
and its closing quote is followed by the separator or the end of the record; quotes within it are
doubled. Quotes in any other field are part of its text, as in `5" disk` or `"Big" news`.

A quoted field may go on in the next lines. A quote that opens by mistake looks the same, and would
take in all rows up to the next stray quote. The lines are therefore taken as rows of their own, and
the first line as a damaged row, where a record of several lines

- is never closed, has a wrong quote, or has not as many fields as the header; or
- consists of lines that look like rows themselves (see `_Splitter.looks_like_row`): nearly all of
  them, and if no identifier or time would then hold a line break, at least three between the first
  and the last one; or nearly all of the first hundred.
"""

import csv
import re
from dataclasses import dataclass
from typing import Literal

from recsys.ingest.batches import clip
from recsys.rows import FIELDS, Reject, is_text

MANY_LINES = 100
FEW_LINES = 3
NEARLY_ALL = 0.9
_TEXTS = ("title", "body", "summary", "kicker", "category", "author", "tags")
_LISTS = ("shown", "clicked", "propensities", "vector")  # numpy writes lists over several lines
_DOUBLED = re.compile(r'(?:[^"]++|"")*+')  # up to a quote that is not doubled
_OPENING = re.compile(r' *"')
_IDENTIFIER = re.compile(r"(?i)id$")
_TIME = re.compile(r"(?i)(_at|time|date|timestamp)$")
_DIGIT = re.compile(r"\d")
_BLANK = re.compile(r"\S\s+\S")


@dataclass(frozen=True, slots=True)
class Rows:
    """Some lines, split.

    Attributes
    ----------
    numbers
        The number of the first line of each row.
    fields
        The fields of each row, as many as the header has.
    rejects
        One for each line that cannot be split.
    n_lines
        Lines that these took, without blank ones.
    rest_line, rest
        The record at the end that is not complete, and the number of its first line.
    """

    numbers: list[int]
    fields: list[list[str]]
    rejects: list[Reject]
    n_lines: int
    rest_line: int
    rest: str


@dataclass(frozen=True, slots=True)
class _Record:
    """What was found at a line.

    Attributes
    ----------
    state
        A whole record, a damaged line, or a record that is open at the last line.
    fields
        The fields of a whole record.
    n_lines
        Lines that were read to find out.
    """

    state: Literal["whole", "damaged", "open"]
    fields: list[str]
    n_lines: int = 1


def split_rows(
    text: str, header: list[str], *, separator: str, quoted: bool, first_line: int, max_open: int
) -> Rows:
    """Split lines into the rows of a table.

    Parameters
    ----------
    text
        Whole lines; bytes that are not UTF-8 are kept by `surrogateescape`.
    header
        The fields of the table's header.
    separator
        One character.
    quoted
        Whether double quotes may enclose a field.
    first_line
        The number of the first line.
    max_open
        Characters of an incomplete record at the end that may wait for more lines; 0 at the end of
        the file, where such a record is damaged.
    """
    lines = text.removesuffix("\n").split("\n")
    is_clean = not _text_problem(text)
    if quoted and is_clean:
        regular = _regular_rows(lines, header, separator)
        if regular is not None:
            end = first_line + len(lines)
            return Rows(list(range(first_line, end)), regular, [], len(lines), end, "")
    splitter = _Splitter(header, separator)
    numbers: list[int] = []
    rows: list[list[str]] = []
    rejects: list[Reject] = []
    n_lines = at = 0
    # A hostile file has each line open a record that fails a thousand lines later. So lines read
    # in vain are counted, and soon no record of several lines is tried any more.
    n_tries = 4 * len(lines) + MANY_LINES
    while at < len(lines):
        line = lines[at]
        if not line.strip(" \r"):
            at += 1
            continue
        if quoted and '"' in line:
            record = splitter.record(lines, at, may_go_on=n_tries > 0)
            if record.state == "open" and sum(map(len, lines[at:])) < max_open:
                break
            n_tries -= record.n_lines if record.state != "whole" else 0
        else:
            record = _Record("whole", line.rstrip("\r").split(separator))
        own = lines[at : at + record.n_lines] if record.state == "whole" else [line]
        reason = splitter.problem(record) or ("" if is_clean else _text_problem("\n".join(own)))
        if reason:
            rejects.append(Reject(first_line + at, "", reason, readable("\n".join(own))))
        else:
            numbers.append(first_line + at)
            rows.append(record.fields[: len(header)])
        n_lines += sum(bool(line.strip(" \r")) for line in own)
        at += len(own)
    return Rows(numbers, rows, rejects, n_lines, first_line + at, "\n".join(lines[at:]))


def _regular_rows(lines: list[str], header: list[str], separator: str) -> list[list[str]] | None:
    """Split lines by the csv module; None unless each line is a well-formed row by itself.

    In its strict form, the csv module follows the same grammar, except for blanks before a quote.
    """
    if any(f'{separator} "' in line or line.startswith(' "') for line in lines):
        return None
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        rows = list(reader)
    except csv.Error:
        return None
    is_regular = len(rows) == len(lines) and all(
        len(row) == len(header) and row[0].strip() != header[0] for row in rows
    )
    return rows if is_regular else None


def split_line(line: str, separator: str) -> list[str]:
    """Split one line into fields; a line that is not well-formed is split at each separator.

    Examples
    --------
    >>> split_line('a;"b; c";5" disk', ";")
    ['a', 'b; c', '5" disk']
    """
    return _Splitter([], separator).fields_of_line(line)


def readable(text: str) -> str:
    r"""Return the text of a rejected row, shortened; a byte that is not UTF-8 is shown as \xff."""
    start = clip(text).encode("utf-8", "surrogateescape")
    return start.decode("utf-8", "backslashreplace")


def _text_problem(text: str) -> str:
    """Return why a row is no text; "" if it is."""
    if "\x00" in text:
        return "holds a null character"
    return "" if is_text(text) else "broken UTF-8"


def _holds_one_line(name: str) -> bool:
    """Return whether no value of a column has several lines, by the column's name."""
    is_known = any(name in fields for fields in FIELDS.values())
    if is_known:
        return name not in (*_TEXTS, *_LISTS)
    return bool(_IDENTIFIER.search(name) or _TIME.search(name))


class _Splitter:
    """Finds the records of a table."""

    def __init__(self, header: list[str], separator: str) -> None:
        self.header = header
        self.separator = separator
        # What may follow a closing quote.
        self.closing = re.compile(rf" *(?:{re.escape(separator)}|\r*\Z)")
        names = [name.strip().lower() for name in header]
        self.of_one_line = [i for i, name in enumerate(names) if _holds_one_line(name)]
        self.identifiers = [i for i, name in enumerate(names) if _IDENTIFIER.search(name)]
        self.times = [i for i, name in enumerate(names) if _TIME.search(name)]

    def problem(self, record: _Record) -> str:
        """Return why a record cannot be used; "" if it can."""
        if record.state != "whole":
            return "a quote is not closed, or not doubled"
        fields, n_fields = record.fields, len(self.header)
        # Some programs end each line with a separator, or with several.
        if len(fields) < n_fields or any(map(str.strip, fields[n_fields:])):
            return f"{len(fields)} fields where the header has {n_fields}"
        if fields[0].strip() == self.header[0]:
            is_header = [name.strip() for name in fields[:n_fields]] == self.header
            return "header repeated" if is_header else ""
        return ""

    def record(self, lines: list[str], first: int, *, may_go_on: bool) -> _Record:
        """Read the record that begins at a line; without `may_go_on`, it is of one line."""
        fields: list[str] = []
        at, position = first, 0
        line = lines[at]
        while True:
            opening = _OPENING.match(line, position)
            if opening is None:
                position = self._take_plain(fields, line, position)
            else:
                opened_at, begin, parts = at, opening.end(), []
                while (end := _quoted_end(line, begin)) == len(line):
                    parts.append(line[begin:])
                    at += 1
                    n_read = at - first
                    if not may_go_on:
                        return _Record("damaged", [])
                    if at == len(lines):
                        return _Record("open", [], n_read)
                    if n_read == MANY_LINES and self.look_like_rows(lines[first + 1 : at]):
                        return _Record("damaged", [], n_read)
                    line, begin = lines[at], 0
                closing = self.closing.match(line, end + 1)
                if closing is not None:
                    parts.append(line[begin:end])
                    fields.append("\n".join(parts).replace('""', '"'))
                    position = closing.end() if closing[0].endswith(self.separator) else -1
                elif opened_at == at:  # a text that begins with a quoted word, or damage
                    position = self._take_plain(fields, line, position)
                    if fields[-1].rstrip().endswith('"'):
                        return _Record("damaged", [], at - first + 1)
                else:
                    return _Record("damaged", [], at - first + 1)
            n_lines = at - first + 1
            if n_lines > 1 and any(fields[len(self.header) :]):
                return _Record("damaged", [], n_lines)
            if position < 0:
                is_record = n_lines == 1 or self._is_one(fields, lines[first : at + 1])
                return _Record("whole" if is_record else "damaged", fields, n_lines)

    def _take_plain(self, fields: list[str], line: str, position: int) -> int:
        """Append a field without quoting; return where the next one begins, -1 at the end."""
        end = line.find(self.separator, position)
        fields.append(line[position:end] if end >= 0 else line[position:].rstrip("\r"))
        return end + 1 if end >= 0 else -1

    def _is_one(self, fields: list[str], lines: list[str]) -> bool:
        """Return whether some lines are one record, rather than rows of their own."""
        if len(fields) < len(self.header):
            return False
        between = lines[1:-1]
        is_odd = any("\n" in fields[i] for i in self.of_one_line)
        if len(between) < FEW_LINES and not is_odd:
            return True
        ends = lines[0], lines[-1]
        return not (all(map(self.looks_like_row, ends)) and self.look_like_rows(between))

    def fields_of_line(self, line: str) -> list[str]:
        """Split a line into fields; if it is not well-formed, at each separator."""
        if '"' in line:
            record = self.record([line], 0, may_go_on=False)
            if record.state == "whole":
                return record.fields
        return line.rstrip("\r").split(self.separator)

    def look_like_rows(self, lines: list[str]) -> bool:
        """Return whether nearly all lines look like rows."""
        return sum(map(self.looks_like_row, lines)) >= NEARLY_ALL * len(lines)

    def looks_like_row(self, line: str) -> bool:
        """Return whether a line by itself has the fields of a row.

        There are as many as in the header, identifiers hold no blanks, and times have a digit.
        """
        fields = self.fields_of_line(line)
        return (
            len(fields) == len(self.header)
            and any(fields)
            and not any(_BLANK.search(fields[i]) for i in self.identifiers)
            and all(not fields[i] or _DIGIT.search(fields[i]) for i in self.times)
        )


def _quoted_end(line: str, begin: int) -> int:
    """Return where the text of a quoted field ends: at a quote, or at the end of the line."""
    matched = _DOUBLED.match(line, begin)
    assert matched is not None  # it matches an empty text
    return matched.end()
