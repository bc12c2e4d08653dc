"""Read access logs of web servers: each answered request for an article page is a click.

nginx, Apache, Caddy, Traefik, IIS, CloudFront and the load balancers of AWS write such logs; see
`recsys.ingest.access_log_lines`. Requests of bots, and for anything but article pages, are ignored.

A log names the address of a client, which is personal data. It is not stored. A click has the
`user_id` by which the client signed in to the server, if any, and a `session_id`: a hash of
address, user agent and day. It joins the clicks of one visitor on one day and no two days. It is
no secret: whoever knows an address and an agent can compute it.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from recsys.errors import InputRefusedError
from recsys.ingest.access_log_lines import (
    LineParser,
    Request,
    parser_for,
    w3c_fields,
    w3c_parser,
    without_addresses,
)
from recsys.ingest.addresses import ARTICLE_PATTERN, article_in, article_pattern, is_bot
from recsys.ingest.batches import Batch
from recsys.ingest.blocks import read_blocks, read_start
from recsys.ingest.gather import Gatherer
from recsys.rows import Kind, is_text

SOURCE = "access_log"
MAX_LINE_CHARS = 64 << 10
_FIRST_LINES = 100  # looked at to recognise a log
_ANSWERED = ("200", "304")  # 304: the browser had the page already


def matches(start: bytes) -> bool:
    """Return whether a file begins with a line of an access log."""
    return parser_for(_whole_lines(start)[:5]) is not None


def read(path: Path, kind: Kind | None, pattern: str = ARTICLE_PATTERN) -> Iterator[Batch]:
    """Yield the clicks of an access log.

    Parameters
    ----------
    path
        The log.
    kind
        "clicks" or None.
    pattern
        Regular expression that finds the article id in the path and query of a request; its first
        group is the id. A request that it does not match is for no article.

    Raises
    ------
    InputRefusedError
        If the file is no access log, or `kind` asks for articles or impressions.
    ValueError
        If `pattern` is not a regular expression.
    """
    if kind not in (None, "clicks"):
        raise InputRefusedError(str(path), f"an access log holds clicks, not {kind}")
    article = article_pattern(pattern)
    parse = parser_for(_whole_lines(read_start(path, 1 << 20))[:_FIRST_LINES])
    if parse is None:
        raise InputRefusedError(
            str(path),
            "not an access log (Common, Combined, W3C, or JSON with a path, a status and a time)",
        )
    rows = Gatherer(kind, "clicks")
    for block in read_blocks(path):
        lines = block.data.decode("utf-8", "surrogateescape").split("\n")
        for number, line in enumerate(lines, start=block.first_line):
            line = line.rstrip("\r\x00 ")
            if line.startswith("#"):  # W3C; the fields may change within a file
                names = w3c_fields(line)
                parse = w3c_parser(names) if names else parse
            elif line:
                _add_line(rows, number, line, parse, article)
        if block.problem:
            rows.reject(block.first_line + len(lines) - 1, "", block.problem, "")
        yield from rows.batches(block.position)


def _whole_lines(start: bytes) -> list[str]:
    """Return the lines at the start of a file; the last may be cut."""
    text = start.decode("utf-8", "surrogateescape")
    return [line.rstrip("\r") for line in text.split("\n") if 0 < len(line) <= MAX_LINE_CHARS]


def _add_line(
    rows: Gatherer, number: int, line: str, parse: LineParser, article: re.Pattern[str]
) -> None:
    """Add the click of a line, or reject or ignore the line."""
    request = parse(line) if len(line) <= MAX_LINE_CHARS else None
    if request is None:
        rows.reject(number, "", "not a line of this log", without_addresses(line[:MAX_LINE_CHARS]))
        return
    article_id = article_in(request.target, article)
    if request.method != "GET":
        rows.ignore("request", "not GET")
    elif request.status not in _ANSWERED:
        rows.ignore("request", f"status {request.status}")
    elif article_id is None or not _is_page(request):
        rows.ignore("request", "not for an article")
    elif is_bot(request.agent):
        rows.ignore("request", "by a bot")
    elif not is_text(article_id):
        rows.reject(number, "article_id", "broken UTF-8", without_addresses(line))
    else:
        click = {
            "user_id": request.user or None,
            "article_id": article_id,
            "clicked_at": request.requested_at,
            "source": SOURCE,
            "session_id": session_of(request),
        }
        rows.add("clicks", number, click)


def _is_page(request: Request) -> bool:
    return not request.content_type or "html" in request.content_type.lower()


def session_of(request: Request) -> str:
    """Return the hash of a visitor's address, user agent and day."""
    text = "\0".join((request.address, request.agent, request.requested_at[:10]))
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
