"""Find the article that a web address shows, and the clients that are no people.

Logs name pages by their address. By default the id of an article is the path of its page, without
query and fragment.
"""

import re
from functools import lru_cache
from urllib.parse import urlsplit

# First part of a path that leads to no article, on most sites.
_NO_ARTICLE_FOLDERS = (
    "wp-json|wp-admin|wp-content|wp-includes|wp-login|xmlrpc|admin|ghost|api|graphql|amp_preconnect"
    "|assets|static|cdn-cgi|_next|_nuxt|\\.well-known|search|suche|recherche|tag|tags|category"
    "|categories|author|authors|page|feed|feeds|rss|login|logout|signin|register|account|newsletter"
)
# File name endings of what pages consist of, and of what is no page.
_NO_ARTICLE_ENDINGS = (
    "css|js|mjs|map|json|xml|rss|atom|txt|csv|php|cgi|axd|ashx|ico|png|jpe?g|gif|svg|webp|avif|bmp"
    "|woff2?|ttf|eot|otf|mp[34]|m4[av]|webm|ogg|wav|mov|m3u8|ts|vtt|pdf|docx?|xlsx?|pptx?|zip|gz|exe"
    "|apk|webmanifest|manifest|wasm|swf"
)
ARTICLE_PATTERN = (
    r"^/\?(?:[^#]*&)?p=(\d+)(?:[&#]|$)"  # a plain permalink of WordPress holds the id of the post
    rf"|^(?!/(?i:{_NO_ARTICLE_FOLDERS})(?:[/?#]|$))"
    r"(?![^?#]*/(?i:feed|rss|page/\d+)/?(?:[?#]|$))"
    rf"(?![^?#]*\.(?i:{_NO_ARTICLE_ENDINGS})(?:[?#]|$))"
    r"(/[^?#]+)"
)
MAX_ADDRESS = 4_096

_BOT = re.compile(
    r"(?<!cu)bot\b|(?<!cu)bots?[/;_-]|googlebot|crawl|spider|slurp|scrap|archiver|preview|monitor"
    r"|uptime|pingdom|statuscake|lighthouse|headless|phantomjs|selenium|puppeteer|playwright"
    r"|facebookexternalhit|embedly|whatsapp|mediapartners|feedfetcher|feedly|\bcurl/|\bwget/|libwww"
    r"|python-|python/|aiohttp|httpx|scrapy|go-http-client|okhttp|java/|apache-httpclient|ruby"
    r"|node-fetch|axios|guzzle|perl|nmap|masscan|zgrab|nikto|gptbot|ccbot|claude-?web|bytespider",
    re.IGNORECASE,
)


def article_pattern(pattern: str = ARTICLE_PATTERN) -> re.Pattern[str]:
    r"""Compile a pattern that finds the id of an article in an address, for `article_in`.

    Examples
    --------
    >>> article_in("https://news.example/sport/cup-final-4711.html", article_pattern(r"-(\d+)\."))
    '4711'

    Raises
    ------
    ValueError
        If it is not a regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r}: {error}") from error


def article_in(address: str, pattern: re.Pattern[str]) -> str | None:
    """Return the id of the article that an address shows; None if it shows none.

    Parameters
    ----------
    address
        An address, with or without scheme and host.
    pattern
        Searched for in the path and query, which begin with "/". The id is the first group that
        matched, or the whole match of a pattern without groups.

    Examples
    --------
    >>> article_in("https://news.example/sport/cup-final?utm_source=x", article_pattern())
    '/sport/cup-final'
    >>> article_in("/wp-content/uploads/cup.jpg", article_pattern()) is None
    True
    """
    if not address or len(address) > MAX_ADDRESS:
        return None
    if not address.startswith("/") or address.startswith("//"):
        try:
            parts = urlsplit(address if "//" in address else f"//{address}")
        except ValueError:  # such as an unclosed bracket in the host
            return None
        address = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    match = pattern.search(address)
    if match is None:
        return None
    return next((group for group in match.groups() if group), None if match.groups() else match[0])


@lru_cache(maxsize=4_096)  # a log repeats its agents
def is_bot(agent: str) -> bool:
    """Return whether a user agent names itself as a bot, a monitor or a library.

    Examples
    --------
    >>> is_bot("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    True
    >>> is_bot("Mozilla/5.0 (Linux; Android 9; CUBOT X19) Mobile Safari/537.36")
    False
    """
    return _BOT.search(agent) is not None
