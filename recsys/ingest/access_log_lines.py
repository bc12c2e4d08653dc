"""Parse the lines of access logs: what a client asked for, when, and what the server answered."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

from recsys.ingest.json_values import as_list, as_object, as_text
from recsys.rows import iso

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTH_NUMBERS = {name: f"{number:02}" for number, name in enumerate(_MONTHS, start=1)}
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_CLOCK = r"(\d{1,2})/(" + "|".join(_MONTHS) + r")/(\d{4}):(\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d{4})"
_CLOCK_TEXT = re.compile(_CLOCK)
# Common and Combined: [vhost] address ident user [time] "request" status bytes, then, in Combined,
# "referrer" "agent".
# Amazon S3 has its fields of the request between the time and the request.
_COMBINED = re.compile(
    rf'([^\[\]"]+) \[{_CLOCK}\] ([^"]*){_QUOTED} (\d{{3}}) (?:\d+|-)(.*)', re.DOTALL
)
_REFERRER_AND_AGENT = re.compile(rf'[^"]*{_QUOTED}[^"]*{_QUOTED}')
MAX_ADDRESS_CHARS = 64
# Load balancers of AWS: [type] time balancer client:port target:port 3 times 2 status 2 bytes ...
_BALANCER = re.compile(
    r"(?:\w+ )?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) \S+ (\S+):\d+ \S+ \S+ \S+ \S+"
    rf" (\d{{3}}|-) \S+ \S+ \S+ {_QUOTED} {_QUOTED}.*",
    re.DOTALL,
)
_ADDRESS = re.compile(r"(?:\d{1,3}\.){3}[\dx]{1,3}|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F.:]*")
_W3C_FIELD = re.compile(r'"[^"]*"|\S+')
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))")


@dataclass(frozen=True, slots=True)
class Request:
    """One line of an access log.

    Attributes
    ----------
    method, target, status
        Such as "GET", "/news/1?x=2" and "200"; the method is "" if the request is no HTTP.
    requested_at
        ISO 8601; it begins with the day.
    address, agent, user
        Of the client; "" if the log does not have it.
    content_type
        Of the answer; "" if the log does not have it.
    """

    method: str
    target: str
    status: str
    requested_at: str
    address: str
    agent: str
    user: str
    content_type: str = ""


# Parses a line; returns None for a line of another form.
LineParser = Callable[[str], Request | None]


def parser_for(lines: list[str]) -> LineParser | None:
    """Return the parser for a file that begins with some lines; None if it is no access log.

    Parameters
    ----------
    lines
        The first lines of the file, whole ones only.
    """
    for line in lines:
        if fields := w3c_fields(line):
            return w3c_parser(fields)
        for parse in (parse_combined, parse_balancer, parse_json):
            if parse(line) is not None:
                return parse
    return None


def parse_combined(line: str) -> Request | None:
    """Parse a line of Common or Combined Log Format, with or without more fields at its ends."""
    match = _COMBINED.fullmatch(line)
    if match is None:
        return None
    before, day, month, year, clock, offset, between, request, status, after = match.groups()
    quoted = _REFERRER_AND_AGENT.match(after)
    tokens = f"{before} {between}".replace(",", " ").split()
    client = tokens[-3] if len(tokens) > 2 else "".join(tokens[:1])
    address = next(filter(_is_address, tokens), client)
    before_tokens = before.split()
    method, target = _method_and_target(request)
    return Request(
        method,
        target,
        status,
        _log_time(day, month, year, clock, offset),
        address,
        _unescaped(quoted[2]) if quoted else "",
        _given(before_tokens[-1]) if len(before_tokens) > 2 else "",
    )


def parse_balancer(line: str) -> Request | None:
    """Parse a line of a load balancer of AWS (Application or Classic)."""
    match = _BALANCER.fullmatch(line)
    if match is None:
        return None
    requested_at, address, status, request, agent = match.groups()
    method, target = _method_and_target(request)
    return Request(method, target, status, requested_at, address, _given(agent), "")


def w3c_fields(line: str) -> list[str]:
    """Return the names of the `#Fields` line of a W3C log; none for any other line."""
    return line.split()[1:] if line.startswith("#Fields:") and "cs-uri-stem" in line else []


def w3c_parser(names: list[str]) -> LineParser:
    """Return a parser for lines with these fields, as IIS and CloudFront write them."""

    def parse(line: str) -> Request | None:
        tokens = line.split("\t") if "\t" in line else _W3C_FIELD.findall(line)
        if len(tokens) != len(names):
            return None
        fields = {name: _given(token) for name, token in zip(names, tokens, strict=True)}
        query = fields.get("cs-uri-query", "")
        agent = fields.get("cs(User-Agent)", "").strip('"')
        # IIS writes blanks as "+", CloudFront encodes the agent once or twice.
        agent = unquote(unquote_plus(agent)) if " " not in agent else agent
        return Request(
            fields.get("cs-method", "GET"),
            fields.get("cs-uri-stem", "") + (f"?{query}" if query else ""),
            fields.get("sc-status", ""),
            f"{fields.get('date', '')}T{fields.get('time', '')}Z",
            fields.get("c-ip", ""),
            agent,
            fields.get("cs-username", ""),
        )

    return parse


# Names of fields in JSON logs: of Caddy, of Traefik, and of the usual formats of nginx.
_JSON_NAMES = {
    "method": ("method", "request_method", "RequestMethod"),
    "target": ("uri", "request_uri", "path", "RequestPath"),
    "status": ("status", "DownstreamStatus"),
    "requested_at": (
        "ts",
        "date",
        "time_iso8601",
        "StartUTC",
        "msec",
        "time_local",
        "time",
        "@timestamp",
    ),
    "address": ("client_ip", "remote_ip", "remote_addr", "ip", "ClientHost"),
    "agent": ("user_agent", "http_user_agent", "agent", "request_User-Agent"),
    "user": ("user_id", "remote_user", "ClientUsername"),
}


def parse_json(line: str) -> Request | None:
    """Parse a line of a log in JSON, as Caddy, Traefik and nginx write it."""
    if not line.startswith("{"):
        return None
    try:
        entry = as_object(json.loads(line))
    except (ValueError, RecursionError):
        return None
    inner = as_object(entry.get("request"))
    fields = {**inner, **entry}
    found = {
        name: next((text for key in keys if (text := as_text(fields.get(key)))), "")
        for name, keys in _JSON_NAMES.items()
    }
    if not found["target"] and isinstance(entry.get("request"), str):
        found["method"], found["target"] = _method_and_target(str(entry["request"]))
    is_status = re.fullmatch(r"\d{3}", found["status"])
    if not (found["target"] and is_status and found["requested_at"]) or "article_id" in entry:
        return None
    return Request(
        found["method"] or "GET",
        found["target"],
        found["status"],
        _json_time(found["requested_at"]),
        found["address"],
        found["agent"] or _header(inner.get("headers"), "user-agent"),
        _given(found["user"]),
        _header(entry.get("resp_headers"), "content-type"),
    )


def _is_address(token: str) -> bool:
    return len(token) <= MAX_ADDRESS_CHARS and _ADDRESS.fullmatch(token) is not None


def _log_time(day: str, month: str, year: str, clock: str, offset: str) -> str:
    return f"{year}-{_MONTH_NUMBERS[month]}-{day:0>2}T{clock}{offset[:3]}:{offset[3:]}"


def _json_time(text: str) -> str:
    """Return a time of a JSON log in ISO 8601; one of another form as it is."""
    if match := _CLOCK_TEXT.fullmatch(text):
        return _log_time(*match.groups())
    try:
        return iso(round(float(text) * 1000))
    except (ValueError, OverflowError):
        return text


def _header(headers: object, name: str) -> str:
    """Return the first value of a header of Caddy's log; "" if there is none."""
    for key, values in as_object(headers).items():
        if key.lower() == name:
            return next((as_text(value) or "" for value in as_list(values)), "")
    return ""


def _method_and_target(request: str) -> tuple[str, str]:
    """Return method and target of a request line; empty ones if it is no HTTP."""
    parts = request.split(" ")
    if len(parts) < 2 or not parts[0].isalpha():
        return "", ""
    is_versioned = len(parts) > 2 and parts[-1].startswith("HTTP/")
    return parts[0], _unescaped(" ".join(parts[1:-1] if is_versioned else parts[1:]))


def _given(token: str) -> str:
    return "" if token == "-" else token


def _unescaped(text: str) -> str:
    r"""Resolve the escapes of nginx (`\x22`) and Apache (`\"`)."""
    if "\\" not in text:
        return _given(text)
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)


def without_addresses(line: str) -> str:
    """Return the text of a line with "(address)" in place of the addresses of clients."""
    return _ADDRESS_IN_TEXT.sub("(address)", line)


_ADDRESS_IN_TEXT = re.compile(
    r"\b(?:\d{1,3}\.){3}\d{1,3}\b|(?<![\w:/])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])"
)
