import pytest

from recsys.ingest.access_log_lines import (
    Request,
    parse_balancer,
    parse_combined,
    parse_json,
    parser_for,
    w3c_fields,
    w3c_parser,
    without_addresses,
)

BROWSER = "Mozilla/5.0 (X11) Firefox/122.0"
AT = "2026-03-02T05:00:00+01:00"
TIME = "[02/Mar/2026:05:00:00 +0100]"


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (
            f'192.0.2.7 - - {TIME} "GET /a?x=1 HTTP/1.1" 200 512',
            Request("GET", "/a?x=1", "200", AT, "192.0.2.7", "", ""),
        ),
        (
            f'192.0.2.7 - frank {TIME} "GET /a HTTP/2.0" 304 - "https://n.example/" "{BROWSER}"',
            Request("GET", "/a", "304", AT, "192.0.2.7", BROWSER, "frank"),
        ),
        (
            f'n.example:443 2001:db8::7 - - {TIME} "GET /a HTTP/1.1" 200 5 "-" "{BROWSER}" 0.003',
            Request("GET", "/a", "200", AT, "2001:db8::7", BROWSER, ""),
        ),
        (
            f'192.0.2.7, 10.0.0.1 - - {TIME} "POST /a HTTP/1.1" 200 5 "-" "x \\"y\\" \\x22z" "-"',
            Request("POST", "/a", "200", AT, "192.0.2.7", 'x "y" "z', ""),
        ),
        (
            f'host.example - - {TIME} "\\x16\\x03\\x01" 400 0 "-" "-"',
            Request("", "", "400", AT, "host.example", "", ""),
        ),
        (
            f'owner bucket {TIME} 192.0.2.7 id 3E57 REST.GET.OBJECT a "GET /a HTTP/1.1" 200 - 5 5 7'
            f' 6 "-" "{BROWSER}" -',
            Request("GET", "/a", "200", AT, "192.0.2.7", BROWSER, ""),
        ),
    ],
    ids=["common", "combined", "vhost", "proxy", "no HTTP", "S3"],
)
def test_common_and_combined_lines_are_parsed(line, request_):
    assert parse_combined(line) == request_


@pytest.mark.parametrize("kind", ["h2 ", ""], ids=["application", "classic"])
def test_lines_of_load_balancers_are_parsed(kind):
    line = (
        f"{kind}2026-03-02T04:00:00.5Z app/lb/1 192.0.2.7:2817 10.0.0.1:80 0.1 0.2 0.3 200 200 9 9"
    )
    line += f' "GET https://n.example:443/a HTTP/1.1" "{BROWSER}" TLS x'
    assert parse_balancer(line) == Request(
        "GET", "https://n.example:443/a", "200", "2026-03-02T04:00:00.5Z", "192.0.2.7", BROWSER, ""
    )


def test_w3c_lines_are_parsed_by_their_fields():
    header = "#Fields: date time cs-method cs-uri-stem cs-uri-query cs-username c-ip"
    header += " cs(User-Agent) cs(Cookie) sc-status"
    parse = w3c_parser(w3c_fields(header))
    line = '2026-03-02 04:00:00 GET /a x=1 - 192.0.2.7 Mozilla/5.0+(X11;+Linux) "a=1; b=2" 200'
    at = "2026-03-02T04:00:00Z"
    agent = "Mozilla/5.0 (X11; Linux)"
    assert parse(line) == Request("GET", "/a?x=1", "200", at, "192.0.2.7", agent, "")
    cloudfront = line.replace("+", "%2520").replace('"a=1; b=2"', "-").replace(" ", "\t")
    assert parse(cloudfront) == parse(line)
    assert parse(line + " more") is None
    assert w3c_fields("#Fields: date time") == []


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (
            '{"ts":1772424000.25,"request":{"remote_ip":"192.0.2.7","method":"GET","uri":"/a",'
            '"headers":{"User-Agent":["x"]}},"status":200,"user_id":"",'
            '"resp_headers":{"Content-Type":["text/html; charset=utf-8"]}}',
            Request(
                *("GET", "/a", "200", "2026-03-02T04:00:00.250000Z", "192.0.2.7", "x", ""),
                "text/html; charset=utf-8",
            ),
        ),
        (
            '{"ip":"192.0.2.7","path":"/a","status":"200","user_agent":"x",'
            '"date":"2026-03-02T05:00:00+01:00"}',
            Request("GET", "/a", "200", AT, "192.0.2.7", "x", ""),
        ),
        (
            '{"remote_addr":"192.0.2.7","time_local":"02/Mar/2026:05:00:00 +0100","remote_user":"-"'
            ',"request":"GET /a HTTP/1.1","status":200,"http_user_agent":"x"}',
            Request("GET", "/a", "200", AT, "192.0.2.7", "x", ""),
        ),
        ('{"article_id":"1","path":"/a","status":"200","date":"2026-03-02T05:00:00Z"}', None),
        ('{"path":"/a","status":"draft","date":"2026-03-02T05:00:00Z"}', None),
        ('{"path":"/a"', None),
    ],
    ids=["Caddy", "nginx for Matomo", "nginx", "an article", "no status", "damaged"],
)
def test_lines_of_json_are_parsed(line, request_):
    assert parse_json(line) == request_


def test_the_parser_is_that_of_the_first_line_which_has_one():
    combined = f'192.0.2.7 - - {TIME} "GET /a HTTP/1.1" 200 5'
    assert parser_for(["damaged", combined]) is parse_combined
    assert parser_for(["#Version: 1.0", "#Fields: date cs-uri-stem"]) is not None
    assert parser_for(["user_id,article_id,clicked_at", "u,a,2026-03-02T05:00:00Z"]) is None


def test_addresses_are_taken_out_of_a_text():
    line = f"192.0.2.7 2001:db8::7 - {TIME} damaged"
    assert without_addresses(line) == f"(address) (address) - {TIME} damaged"
