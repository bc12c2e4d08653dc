"""Files that would take long to read: what they are made of, and a file of n of it."""

import json


def line(**fields) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def page(body: str, head: str = "") -> bytes:
    text = "<p>This is a sentence of some words in a paragraph of an article.</p>" * 5
    return f"<html><head><title>T</title>{head}</head><body>{text}{body}</body></html>".encode()


def feed(items: str) -> bytes:
    return f"<rss version='2.0'><channel><title>t</title>{items}</channel></rss>".encode()


def entry(content: str) -> bytes:
    return feed(f"<item><guid>g</guid><description>{content}</description></item>")


def export(items: str) -> bytes:
    start = "<rss xmlns:wp='http://wordpress.org/export/1.2/'><channel>"
    return f"{start}{items}</channel></rss>".encode()


TIME = "2026-03-01T06:00:00Z"
CLICKS = b"user_id,article_id,clicked_at\n"
CLICK = f"u,a,{TIME}\n".encode()
BODIES = b"article_id;title;tags\na;t;"
LOG = b'192.0.2.7 - u1 [01/Mar/2026:06:00:00 +0000] "GET /a1 HTTP/1.1" 200 5 "-" "Moz"\n'
POST = '{"id": 1, "title": {"rendered": "One"}, "content": {"rendered": "x"}, "x": '
VISIT = '{"idVisit": "1", "visitorId": "u1", "actionDetails": '
GHOST = '{"db": [{"meta": {}, "data": {"posts": [{"id": "1", "title": "One"}], "posts_tags": '
GA4 = '{"event_name": "view_item_list", "event_timestamp": "1", "user_pseudo_id": "u", "items": '
SITE = (
    "<url><loc>https://n.example/a%d</loc><news:news><news:title>O</news:title></news:news></url>"
)


def event(contexts: str) -> bytes:
    fields = [""] * 131
    fields[3], fields[5], fields[15] = "2026-03-01 06:00:00.123", "page_view", "u1"
    fields[29], fields[52] = "https://n.example/a1", contexts
    return "\t".join(fields).encode() + b"\n"


# By format: what it is made of, the file's name, how many, and a file of n of them.
FILES = {
    "jsonl": [
        ("tags", "x.jsonl", 20_000, lambda n: line(article_id="a", title="t", tags=list(map(str, range(n))))),
        ("marks", "x.jsonl", 100_000, lambda n: line(article_id="a", title="a" + "\u0301\u0316" * n)),
        ("versions", "x.jsonl", 4_000, lambda n: b"".join(line(article_id="a", title=f"t{i}") for i in range(n))),
        ("shown", "x.jsonl", 20_000, lambda n: line(user_id="u", shown_at=TIME, shown=list(map(str, range(n))))),
        ("damaged items", "x.json", 8_000, lambda n: b'[{"article_id": 1},' + b'{"a" 1},' * n + b"]"),
        ("quotes", "x.json", 8_000, lambda n: b'[{"a":1},{"' + b'\\"' * n),
        ("items after a long one", "x.json", 3_000, lambda n: b'[{"a":"' + b"x" * 160 * n + b'"},' + b'{"a" 1},' * n + b"{}]"),
    ],
    "csv": [
        ("stray quotes", "x.csv", 8_000, lambda n: CLICKS + b'u,"a,b\n' * n),
        ("open texts", "x.csv", 8_000, lambda n: b"article_id,title,body\n" + b'a,t,"x\n' * n),
        ("digits", "x.csv", 4_000, lambda n: BODIES + b"[" + b"1" * n + b"x]\n"),
        ("a long item", "x.csv", 20_000, lambda n: BODIES + b"{" + b"'a\\" * n + b",}\n"),
        ("columns", "x.csv", 20_000, lambda n: CLICKS[:-1] + b",a" * n + b"\n" + CLICK),
        ("tags", "x.csv", 100_000, lambda n: BODIES + b"<b '" * n + b"\n"),
    ],
    "mind": [
        ("history", "behaviors.tsv", 20_000, lambda n: b"1\tU1\t11/13/2019 8:36:57 AM\t" + b"N1 " * n + b"\tN3-0 N4-1\n"),
    ],
    "html": [
        ("attributes", "x.html", 6_000, lambda n: page("<p " + "".join(f"a{i}=1 " for i in range(n)) + ">x</p>")),
        ("links", "x.html", 1_500, lambda n: page("<div><a href='/x'>link text here</a></div>" * n)),
        ("open tags", "x.html", 3_000, lambda n: page("<div><b><p>" * n)),
        ("JSON-LD", "x.html", 3_000, lambda n: page("", '<script type="application/ld+json">{"@type":"NewsArticle"}</script>' * n)),
    ],
    "rss": [
        ("entries", "x.xml", 1_000, lambda n: feed("".join(f"<item><guid>g{i}</guid></item>" for i in range(n)))),
        ("open comments", "x.xml", 10_000, lambda n: entry("<![CDATA[" + "<!--" * n + "]]>")),
        ("escaped comments", "x.xml", 10_000, lambda n: entry("&lt;!--" * n)),
        ("open entries", "x.xml", 1_000, lambda n: feed("".join(f"<item><guid>g{i}</guid><b>" for i in range(n)))),
    ],
    "sitemap": [
        ("pages", "x.xml", 2_000, lambda n: b"<urlset xmlns:news='n'>" + "".join(SITE % i for i in range(n)).encode() + b"</urlset>"),
        ("elements", "x.xml", 20_000, lambda n: f"<urlset xmlns:news='n'><url>{'<x/>' * n}<loc>https://n.example/a</loc><news:news/></url></urlset>".encode()),
    ],
    "wordpress": [
        ("values", "x.json", 30_000, lambda n: f"[{POST}{[{}] * n}}}]".encode()),
    ],
    "wxr": [
        ("open items", "x.xml", 100_000, lambda n: export("<item>" * n)),
        ("open texts", "x.xml", 30_000, lambda n: export("<item><![CDATA[" * n)),
        ("categories", "x.xml", 3_000, lambda n: export("<item><title>x</title><wp:post_id>1</wp:post_id>" + "<category domain='post_tag'>c</category>" * n + "</item>")),
        ("shortcodes", "x.xml", 30_000, lambda n: export("<item><title>x</title><wp:post_id>1</wp:post_id><content:encoded>" + "[caption x='" * n + "</content:encoded></item>")),
    ],
    "ghost": [
        ("tags of a post", "x.json", 20_000, lambda n: f"{GHOST}{json.dumps([{'post_id': '1', 'tag_id': '2'}] * n)}}}}}]}}".encode()),
    ],
    "ga4": [
        ("items", "x.json", 5_000, lambda n: f"{GA4}{json.dumps([{'item_id': 'a', 'item_list_name': 't'}] * n)}}}\n".encode()),
    ],
    "matomo": [
        ("actions", "x.json", 20_000, lambda n: f"[{VISIT}{json.dumps([{'type': f't{i}'} for i in range(n)])}}}]".encode()),
    ],
    "snowplow": [
        ("contexts", "x.tsv", 20_000, lambda n: event(json.dumps({"data": [{"schema": "x", "data": {}}] * n}))),
    ],
    "access_log": [
        ("quotes", "x.log", 300, lambda n: LOG * 50 + (b'1 - - [01/Mar/2026:06:00:00 +0000] "' + b'\\"' * 1000 + b"\n") * n),
        ("brackets", "x.log", 300, lambda n: LOG * 50 + (b"[" * 3000 + b"x\n") * n),
        ("users", "x.log", 3_000, lambda n: b"".join(LOG.replace(b"u1", b"u%d" % i) for i in range(n))),
    ],
}  # fmt: skip
