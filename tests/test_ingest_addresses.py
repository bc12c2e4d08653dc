import pytest

from recsys.ingest.addresses import ARTICLE_PATTERN, article_in, article_pattern, is_bot


@pytest.mark.parametrize(
    ("address", "article_id"),
    [
        ("/2026/03/coal-exit", "/2026/03/coal-exit"),
        ("/2026/03/coal-exit/?utm_source=x#top", "/2026/03/coal-exit/"),
        ("https://news.example/sport/cup.html?x=1", "/sport/cup.html"),
        ("https://news.example:443/sport/cup", "/sport/cup"),
        ("news.example/sport/cup", "/sport/cup"),
        ("//news.example/sport/cup", "/sport/cup"),
        ("/blog/version-2.0", "/blog/version-2.0"),
        ("/media/2026/a-film", "/media/2026/a-film"),
        ("/tagesschau/1", "/tagesschau/1"),
        ("/?p=17", "17"),
        ("/?lang=de&p=17", "17"),
        ("/", None),
        ("https://news.example", None),
        ("/?s=coal", None),
        ("/wp-json/wp/v2/posts", None),
        ("/wp-login.php", None),
        ("/image.PNG", None),
        ("/a/style.css?ver=6", None),
        ("/robots.txt", None),
        ("/sport/feed/", None),
        ("/sport/page/2/", None),
        ("/tag/coal", None),
        ("/search?q=x", None),
        ("", None),
        ("http://[::1/x", None),
        ("/" + "x" * 5_000, None),
    ],
)
def test_the_path_of_a_page_is_its_article(address, article_id):
    assert article_in(address, article_pattern(ARTICLE_PATTERN)) == article_id


def test_a_pattern_of_the_site_gives_its_first_group_or_its_match():
    assert article_in("/a.php?id=12&x=1", article_pattern(r"[?&]id=(\d+)")) == "12"
    assert article_in("/sport/cup-4711", article_pattern(r"\d+$")) == "4711"
    assert article_in("/sport/", article_pattern(r"-(\d+)$")) is None


def test_a_pattern_that_is_no_regular_expression_is_named():
    with pytest.raises(ValueError, match=r"pattern '\('"):
        article_pattern("(")


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; YandexBot/3.0)",
        "Mozilla/5.0 (compatible; Yahoo! Slurp)",
        "facebookexternalhit/1.1",
        "curl/8.5.0",
        "Wget/1.21",
        "python-requests/2.31",
        "Mozilla/5.0 HeadlessChrome/120.0",
        "UptimeRobot/2.0",
        "Pingdom.com_bot_version_1.4",
    ],
)
def test_agents_that_name_themselves_are_bots(agent):
    assert is_bot(agent)


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X18 Build/P) Mobile Safari/537.36",
        "",
    ],
)
def test_browsers_are_no_bots(agent):
    assert not is_bot(agent)
