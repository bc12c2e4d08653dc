"""News sitemaps give articles; other sitemaps are refused with the reason."""

import contextlib
import gzip
import random

import pytest
from conftest import RECEIVED_MS
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest.detect import format_of
from recsys.ingest.sitemap import read
from recsys.rows import iso

NEWS = """<url><loc>https://news.example/harbour?id=4&amp;section=sea</loc>
<lastmod>2026-03-02T05:00:00+01:00</lastmod>
<news:news><news:publication><news:name>News</news:name><news:language>de</news:language>
</news:publication><news:publication_date>2026-03-01T10:00:00Z</news:publication_date>
<news:title>Harbour &amp; bridge</news:title><news:keywords>sea, trade</news:keywords></news:news>
<image:image><image:loc>https://news.example/i.jpg</image:loc></image:image></url>"""
PAGE = "<url><loc>https://news.example/about</loc></url>"


def sitemap(*pages: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- made daily -->\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        ' xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
        f' xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">{"".join(pages)}</urlset>'
    )


def test_a_news_sitemap_gives_articles_and_ignores_other_pages(load, store):
    report = load({"sitemap.xml": sitemap(NEWS, PAGE)})
    found = store.articles(known_by_ms=RECEIVED_MS)
    address = "https://news.example/harbour?id=4&section=sea"
    assert found.id_map.ids == found.urls == (address,)
    assert found.titles == ("Harbour & bridge",)
    assert found.languages == ("de",)
    assert found.image_urls == ("https://news.example/i.jpg",)
    assert iso(int(found.published_ms[0])) == "2026-03-01T10:00:00Z"
    assert iso(int(found.modified_ms[0])) == "2026-03-02T04:00:00Z"
    assert report.ignored == {("page of a sitemap", "no news:news"): 1}
    assert not report.rejected


@pytest.mark.parametrize(
    ("access", "premium"), [("Subscription", True), ("Registration", False), (None, None)]
)
def test_an_article_for_subscribers_is_premium(load, store, access, premium):
    given = f"<news:access>{access}</news:access></news:news>" if access else "</news:news>"
    load({"sitemap.xml": sitemap(NEWS.replace("</news:news>", given))})
    assert store.articles(known_by_ms=RECEIVED_MS).premium == [premium]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (sitemap(PAGE), "without news:news"),
        (sitemap(), "without news:news"),
        ("<sitemapindex><sitemap><loc>https://n.example/1.xml</loc></sitemap></sitemapindex>",)
        + ("fetch the sitemaps that it names",),
    ],
)
def test_a_sitemap_without_news_is_refused_with_the_remedy(load, text, message):
    report = load({"sitemap.xml": text})
    assert message in str(report.refused[0])


def test_what_is_no_sitemap_is_refused_and_clicks_are_not_in_it(load):
    assert "not a sitemap" in str(load({"f.xml": "<rss/>"}, format="sitemap").refused[0])
    assert "not clicks" in str(load({"f.xml": sitemap(NEWS)}, kind="clicks").refused[0])


def test_a_damaged_sitemap_yields_the_articles_before(load, store):
    text = sitemap(NEWS, NEWS.replace("harbour", "tram"))
    report = load({"sitemap.xml": text[: text.index("tram")] + "\x00&nope; <news:"})
    assert len(store.articles(known_by_ms=RECEIVED_MS).titles) >= 1
    assert any("malformed" in reason for reason, _ in report.rejected)


@pytest.mark.parametrize("name", ["sitemap.xml", "news.xml.gz", "map"])
def test_a_sitemap_is_detected_by_its_content(tmp_path, name):
    (tmp_path / name).write_text(sitemap(NEWS), encoding="utf-16" if name == "map" else "utf-8")
    assert format_of(tmp_path / name) == "sitemap"


def test_entities_of_html_and_bare_ampersands_are_no_damage(load, store):
    page = NEWS.replace("Harbour &amp; bridge", "Caf&eacute; & port").replace("id=4&amp;", "id=4&")
    assert not load({"sitemap.xml": sitemap(page)}).rejected
    found = store.articles(known_by_ms=RECEIVED_MS)
    assert found.titles == ("Café & port",)
    assert found.urls == ("https://news.example/harbour?id=4&section=sea",)


def test_a_sitemap_in_a_truncated_archive_is_reported(tmp_path):
    numbers = random.Random(1)
    pages = [NEWS.replace("id=4", f"id={numbers.random()}") for _ in range(500)]
    data = gzip.compress(sitemap(*pages).encode())
    (tmp_path / "sitemap.xml.gz").write_bytes(data[: len(data) // 2])
    (batch,) = read(tmp_path / "sitemap.xml.gz", None)
    assert len(batch.frame) > 100
    assert batch.rejects[0].reason == "truncated or damaged archive: the archive ends in the middle"


@settings(deadline=None)
@given(st.binary(max_size=100) | st.text("<>/url news:loct&;").map(str.encode), st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path_factory, data, in_news):
    path = tmp_path_factory.mktemp("sitemaps") / "sitemap.xml"
    path.write_bytes(sitemap(NEWS).encode().replace(b"Harbour", data) if in_news else data)
    with contextlib.suppress(InputRefusedError):
        (batch,) = read(path, None)
        assert len(batch.frame) + len(batch.rejects) >= 1
