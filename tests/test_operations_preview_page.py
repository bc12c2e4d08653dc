"""The preview of pages: lists, bars, links, pictures, escaping, and a browser's view of them."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser

import pytest
from conftest import LISTS

from recsys.operations.preview_page import Bar, bars, render_pages, safe_url
from recsys.page.explain import Explanation
from recsys.page.known_articles import KnownArticle
from recsys.serving.recommender import Recommender

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium or Chrome is installed: the page is parsed, not drawn"
)


@pytest.fixture(scope="module")
def page(by_hand):
    pages = render_pages(
        Recommender(by_hand.folder), "u0007", "a0030", name="page", as_of=by_hand.as_of
    )
    assert list(pages) == ["page.html"]
    return pages["page.html"]


class Balanced(HTMLParser):
    """Fails on a closing tag that does not match the last open one."""

    OPEN = ("meta", "br", "link", "img")

    def __init__(self):
        super().__init__()
        self.stack, self.seen = [], set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in self.OPEN:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, tag


def test_the_page_shows_its_four_lists_and_loads_nothing(page, by_hand):
    parser = Balanced()
    parser.feed(page)
    assert not parser.stack
    assert not parser.seen & {"script", "img", "link", "iframe"}
    wanted = Recommender(by_hand.folder).recommend("u0007", "a0030", as_of=by_hand.as_of)
    for name in LISTS:
        section = page[page.index(f'<section id="{name}"') :]
        section = section[: section.index("</section>")]
        assert section.count("<li>") == section.count("<h3>") == len(wanted[name])
        assert wanted.titles[name] in section
    assert "For editors" in page
    assert "recsys" not in re.findall(r'(?:src|href)="([^"]*)"', page)


def test_pages_beside_the_articles_of_a_page_link_to_each_other(by_hand):
    recommender = Recommender(by_hand.folder)
    pages = render_pages(recommender, None, None, name="front", n_pages=40, as_of=by_hand.as_of)
    assert list(pages) == ["front.html", *(f"front-{n}.html" for n in range(2, 41))]
    front = recommender.recommend(as_of=by_hand.as_of)
    shown = [slot.article_id for slots in front.values() for slot in slots]
    links = re.findall(r'<h3><a href="([^"]*)"', pages["front.html"])
    assert links == [f"front-{n}.html" for n in range(2, len(shown) + 2)]
    second = recommender.article(shown[0], as_of=by_hand.as_of)
    assert f'<h1 dir="auto">{second.title}</h1>' in pages["front-2.html"]
    for text in pages.values():
        for link in re.findall(r'<h3><a href="([^"]*)"', text):
            assert link in pages or link.startswith("https://news.example/")


def test_a_picture_is_shown_where_an_article_has_one(by_hand):
    plain = Recommender(by_hand.folder)

    class Pictured:
        def recommend(self, *args, **options):
            return plain.recommend(*args, **options)

        def article(self, *args, **options):
            return plain.article(*args, **options)._replace(
                image_url="https://news.example/a.jpg", summary="A <b>summary</b>", kicker="On site"
            )

    options = {"name": "page", "as_of": by_hand.as_of}
    (without,) = render_pages(plain, None, "a0030", **options).values()
    (pictured,) = render_pages(Pictured(), None, "a0030", **options).values()
    assert '<img src="https://news.example/a.jpg" alt=""' in pictured
    assert "<img" not in without
    assert "A &lt;b&gt;summary&lt;/b&gt;" in pictured
    assert '<p class="kicker" dir="auto">On site</p>' in pictured


def test_a_page_is_in_its_language_and_the_editors_view_in_english(by_hand):
    recommender = Recommender(by_hand.folder)
    options = {"name": "page", "language": "de", "as_of": by_hand.as_of}
    (text,) = render_pages(recommender, None, "a0030", **options).values()
    assert '<html lang="de">' in text
    assert "Das könnte Sie auch interessieren" in text
    assert "Lesezeit: 1 Min." in text
    assert '<div class="desk" id="why" lang="en">' in text


def test_bars_are_shares_of_what_adds_and_takes_in_words():
    why = Explanation(
        {"als": 1.0, "context_text": 6.0, "affinity": -2.96, "text": 0.04},
        {"context_text": 3, "als": 22},
        1,
        (),
        (),
        (),
        "",
    )  # in all: 1 + 6 + 2.96 + 0.04 = 10, of which text is 0.4 %
    assert bars(why) == [
        Bar("close to this article", 60, takes=False, rank="3rd"),
        Bar("a section this user often reads", 30, takes=True, rank=""),
        Bar("read by similar users", 10, takes=False, rank="22nd"),
    ]
    nothing = Explanation({}, {}, 1, (), (), (), "")
    assert bars(nothing) == []


def test_an_editor_sees_words_and_shares_and_no_names_of_signals(page):
    desk = page[page.index('id="why"') :]
    assert "close to this article" in desk
    assert "context_text" not in desk
    assert re.search(r'<span class="share">\d+ %</span>', desk)
    assert desk.index("adds to the score") < desk.index("You May Also Like")  # the legend is first


def test_what_comes_from_data_is_escaped_and_only_web_addresses_are_links():
    assert safe_url("HTTPS://a.example/x") == "HTTPS://a.example/x"
    for url in ("javascript:alert(1)", "data:text/html,x", "//a.example", "", "http://[bad"):
        assert safe_url(url) == ""

    evil = "<script>alert(1)</script>"

    class Evil:
        def recommend(self, *args, **kwargs):
            from recsys import Page, Recommendation

            class PageTrace:
                def explanation(self, *args):
                    from recsys.page.explain import Displaced, Explanation

                    parts = {evil: 1.0, "als": 1.0}
                    return Explanation(parts, {}, 1, (), (), (Displaced("x", evil, evil),), evil)

                def article(self, live_index):
                    texts = dict.fromkeys(KnownArticle._fields[:12], evil)
                    rest = dict.fromkeys(KnownArticle._fields[12:])
                    return KnownArticle(**(rest | texts | {"image_url": "javascript:alert(2)"}))

            slot = Recommendation(
                evil,
                evil,
                evil,
                "javascript:alert(1)",
                None,
                1.0,
                evil,
                "x",
                1.0,
                (),
                (),
                PageTrace(),
                ("must_reads", 0),
            )
            return Page(evil, "en", {"must_reads": evil}, {"must_reads": (slot,)}, (evil,))

        def article(self, article_id, *, as_of):
            return None

    (text,) = render_pages(Evil(), evil, evil, name="page").values()
    assert "<script" not in text
    assert "javascript:" not in text
    assert "&lt;script&gt;" in text


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_the_page_within_its_width(page, tmp_path, width):
    # A window may be wider than asked for, so the page is drawn in a frame. It measures
    # itself: a word that is broken letter by letter is in a box narrower than five of its letters.
    probe = (
        "<script>onload=()=>{const narrow=[...document.querySelectorAll('h1,h3,p,dd,.bars span')]"
        ".filter(e=>e.textContent.trim().length>8&&!e.matches('.track,.track *,.share')"
        "&&e.getBoundingClientRect().width<5*8);"
        "parent.document.title=JSON.stringify({wide:document.documentElement.scrollWidth,"
        "window:innerWidth,narrow:narrow.map(e=>e.textContent),"
        "lists:[...document.querySelectorAll('section')].map(s=>"
        "[s.id,s.querySelectorAll('li').length,s.getBoundingClientRect().height>100])})}</script>"
    )
    probed = page.replace("</head>", probe + "</head>")
    frame = f'<iframe srcdoc="{escape(probed)}" width="{width}" height="900" style="border:0">'
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><title>-</title>{frame}</iframe>", "utf-8")
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1400,900",
            "--virtual-time-budget=3000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL).group(1)
    measured = json.loads(unescape(title))
    assert measured["window"] == width
    assert measured["wide"] <= width
    assert measured["narrow"] == []
    assert [name for name, _, _ in measured["lists"]] == list(LISTS)
    assert all(n >= 5 and tall for _, n, tall in measured["lists"])
