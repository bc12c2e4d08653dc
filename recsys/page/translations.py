"""The words of a page in other languages than English, out of gettext catalogs.

`locale/LANGUAGE/LC_MESSAGES/recsys.po` is a catalog, and `recsys.mo` beside it is its compiled
form. A text is its own key: what a catalog lacks stays English.
"""

import gettext
from functools import lru_cache
from pathlib import Path

DOMAIN = "recsys"
LOCALE = Path(__file__).parent / "locale"
LANGUAGES_KEPT = 64  # catalogs in memory, those of languages without one among them


@lru_cache(maxsize=LANGUAGES_KEPT)
def _catalog(language: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALE, [language], fallback=True)


def translated(text: str, language: str) -> str:
    """Return an English text in a language (see `recsys.languages`), as it is where unknown.

    Examples
    --------
    >>> translated("Popular Now", "fr"), translated("Popular Now", "xx")
    ('Populaire en ce moment', 'Popular Now')
    """
    return _catalog(language).gettext(text)


def catalog_languages() -> list[str]:
    """Return the languages that have a catalog, and English, which needs none."""
    return sorted(["en", *(path.name for path in LOCALE.iterdir() if path.is_dir())])
