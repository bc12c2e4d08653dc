import gzip

import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import access_log

BROWSER = "Mozilla/5.0 (X11) Firefox/122.0"


def line(
    path="/sport/cup",
    address="192.0.2.7",
    user="-",
    day="02",
    status=200,
    agent=BROWSER,
    method="GET",
):
    time = f"[{day}/Mar/2026:05:00:00 +0100]"
    return f'{address} - {user} {time} "{method} {path} HTTP/1.1" {status} 512 "-" "{agent}"\n'


@pytest.fixture
def read(tmp_path):
    """Return a function: what a log with these lines holds."""
    return lambda *lines, **options: read_file(access_log.read, tmp_path, "".join(lines), **options)


def test_an_answered_request_for_an_article_is_a_click(read):
    (click,) = read(line("/sport/cup?utm_source=x", user="frank")).clicks
    session_id = click.pop("session_id")
    assert click == {
        "row": 1,
        "user_id": "frank",
        "article_id": "/sport/cup",
        "clicked_at": "2026-03-02T05:00:00+01:00",
        "source": "access_log",
    }
    assert len(session_id) == 16
    assert int(session_id, 16) >= 0


def test_a_session_is_one_address_agent_and_day_and_holds_no_address(read):
    found = read(
        *(line(), line("/b"), line(day="03"), line(address="192.0.2.8"), line(agent="Other/1.0"))
    )
    sessions = [click["session_id"] for click in found.clicks]
    assert sessions[0] == sessions[1]
    assert len(set(sessions)) == 4
    assert not any("user_id" in click for click in found.clicks)
    assert "192.0.2" not in str(found.clicks)


def test_what_is_no_article_page_or_by_a_bot_is_counted(read):
    found = read(
        *(line(), line(status=304), line(status=404), line(status=301), line(method="POST")),
        *(line("/a.css"), line("/"), line("/wp-json/x"), line(agent="Googlebot/2.1")),
    )
    assert len(found.clicks) == 2
    assert found.rejects == []
    assert found.ignored == {
        ("request", "status 404"): 1,
        ("request", "status 301"): 1,
        ("request", "not GET"): 1,
        ("request", "not for an article"): 3,
        ("request", "by a bot"): 1,
    }


def test_a_pattern_finds_the_id_of_an_article(read):
    found = read(line("/sport/cup-4711.html"), line("/sport/"), pattern=r"-(\d+)\.html")
    assert [click["article_id"] for click in found.clicks] == ["4711"]
    assert found.ignored == {("request", "not for an article"): 1}


def test_a_damaged_line_is_rejected_without_the_address_in_it(read):
    found = read(line(), '192.0.2.7 - - [02/Mar/2026:05:00:00 +0100] "GET /a\n', line())
    assert [click["row"] for click in found.clicks] == [1, 3]
    (reject,) = found.rejects
    assert (reject.row, reject.reason) == (2, "not a line of this log")
    assert reject.raw == '(address) - - [02/Mar/2026:05:00:00 +0100] "GET /a'


def test_a_path_that_is_not_utf_8_is_rejected(tmp_path):
    data = (line() + line("/caf\xc3")).encode("latin-1")
    found = read_file(access_log.read, tmp_path, data)
    assert [reject.reason for reject in found.rejects] == ["broken UTF-8"]


def test_fields_of_a_w3c_log_may_change_within_it(read):
    first = "#Fields: date time cs-method cs-uri-stem sc-status c-ip\n"
    second = "#Fields: time date cs-uri-stem c-ip sc-status cs-method\n"
    found = read(
        *(first, "2026-03-02 04:00:00 GET /a 200 192.0.2.7\n", "#Version: 1.0\n"),
        *(second, "04:00:00 2026-03-02 /b 192.0.2.7 200 GET\n"),
    )
    assert [(c["row"], c["article_id"]) for c in found.clicks] == [(2, "/a"), (5, "/b")]
    assert {c["clicked_at"] for c in found.clicks} == {"2026-03-02T04:00:00Z"}


def test_an_answer_that_is_not_html_is_no_page(read):
    entry = '{{"ts":1772424000,"request":{{"uri":"/a"}},"status":200,"resp_headers":{}}}\n'
    kinds = ['{"Content-Type":["text/html"]}', '{"Content-Type":["text/css"]}', "{}"]
    found = read(*(entry.format(headers) for headers in kinds))
    assert [click["row"] for click in found.clicks] == [1, 3]


def test_a_truncated_archive_yields_the_lines_before(tmp_path):
    data = gzip.compress("".join(line(f"/{i}") for i in range(5)).encode())[:-8]
    found = read_file(access_log.read, tmp_path, data)
    assert len(found.clicks) == 5
    assert found.rejects[0].reason.startswith("truncated or damaged archive")


def test_what_is_no_log_is_refused(read):
    with pytest.raises(InputRefusedError, match="not an access log"):
        read("user_id,article_id,clicked_at\n")
    with pytest.raises(InputRefusedError, match="not articles"):
        read(line(), kind="articles")
    assert access_log.matches(line().encode())
    assert not access_log.matches(b'{"article_id": "a", "title": "x"}')


def test_a_log_reaches_the_store_whatever_its_name_is(load, store):
    report = load({"access_log": line(user="frank") + line("/b", user="frank")})
    assert report.added["clicks"].new == 2
    # 2 March 2026, 05:00 in a zone one hour ahead of UTC.
    clicks = store.clicks(from_ms=0, before_ms=2**53)
    assert clicks.clicked_ms.tolist() == [1_772_424_000_000] * 2
