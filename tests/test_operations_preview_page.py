"""The preview of a page: its lists, escaping, and its width in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from conftest import LISTS

from recsys.operations.preview_page import render_preview, safe_url
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
    return render_preview(
        Recommender(by_hand.folder), "u0007", "a0030", layout=None, as_of=by_hand.as_of
    )


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
        section = page[page.index(f'<section id="{name}">') :]
        section = section[: section.index("</section>")]
        assert section.count("<li>") == len(wanted[name])
        assert wanted.titles[name] in section
    assert "For editors" in page
    assert "recsys" not in re.findall(r'(?:src|href)="([^"]*)"', page)


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

                    return Explanation(
                        {evil: 1.0}, {}, 1, (), (), (Displaced("x", evil, evil),), evil
                    )

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

    text = render_preview(Evil(), evil, evil, layout=None, as_of=None)
    assert "<script" not in text
    assert "javascript:" not in text
    assert "&lt;script&gt;" in text


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_draws_the_page_within_its_width(page, tmp_path, width):
    # The page measures itself: what is wider than the window would have to be scrolled.
    probe = (
        "<script>onload=()=>{document.getElementById('editor').open=true;"
        "document.title=JSON.stringify({wide:document.documentElement.scrollWidth,"
        "window:innerWidth,lists:[...document.querySelectorAll('section')].map(s=>"
        "[s.id,s.querySelectorAll('li').length,s.getBoundingClientRect().height>100])})}</script>"
    )
    path = tmp_path / "page.html"
    path.write_text(page.replace("</head>", probe + "</head>"), "utf-8")
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
            f"--window-size={width},900",
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
    measured = json.loads(title.replace("&quot;", '"'))
    assert measured["wide"] <= measured["window"]
    assert [name for name, _, _ in measured["lists"]] == list(LISTS)
    assert all(n >= 5 and tall for _, n, tall in measured["lists"])
