"""One run held in memory by a server: its articles, its pages, and what it says of them."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import UserState
from recsys.blend.profiles import UserStateBuilder
from recsys.files import version_of
from recsys.page.build import NOTHING, PageBuilder, Slot
from recsys.page.compose import LISTS, slots_of
from recsys.page.explain import PageTrace
from recsys.page.known_articles import KnownArticle
from recsys.page.reasons import reason_text
from recsys.page.rules import Described, Editorial, Resolved
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.rows import UNKNOWN_TIME, from_ms, to_ms
from recsys.serving.responses import Page, Recommendation

PAGES_KEPT = 1000  # of anybody, in memory: the latest asked for
NEVER = np.iinfo(np.int64).max


def _card(article: KnownArticle) -> tuple[str, str, str, str, datetime | None]:
    """Return what every slot with an article says of it: the first of `Recommendation`."""
    published = None if article.published_ms is None else from_ms(article.published_ms)
    return article.article_id, article.title, article.category, article.url, published


class LoadedRun:
    """A run held in memory; never changes, so threads share it without a lock."""

    def __init__(self, folder: Path, run_id: str) -> None:
        path = self.path = published_folder.run_path(folder, run_id)
        self.state = version_of(path)
        with closing(run_file.connect(path)) as conn, run_file.reading(path):
            self.meta = run_file.load_meta(conn, path)
            self.model, self.rank = run_file.load_model(conn, path)
            self.builder, self.readers = PageBuilder(self.model), UserStateBuilder(self.model)
            self.articles = run_file.load_articles(conn, path)
        self.paths = [self.path]
        if self.meta.base is not None:
            self.paths.append(published_folder.run_path(folder, self.meta.base))
            run_file.connect(self.paths[1]).close()
        self.as_of_ms = to_ms(datetime.fromisoformat(self.meta.as_of))
        live = [self.articles[row] for row in self.model.live.live_rows.tolist()]
        ids = self.articles.column("article_id")
        self.known = dict(zip(ids, range(len(ids)), strict=True))
        self._expires_ms = np.array(
            [NEVER if a.expires_ms is None else a.expires_ms for a in live], dtype=np.int64
        )
        self._published_ms = np.array(
            [UNKNOWN_TIME if a.published_ms is None else a.published_ms for a in live],
            dtype=np.int64,
        )
        self._cards = [_card(article) for article in live]
        self._over = 0, 0, NOTHING  # from when until when which live articles must not be shown
        self.anonymous_page = lru_cache(maxsize=PAGES_KEPT)(self._anonymous_page)

    @cached_property
    def described(self) -> Described:
        """Return what rules may ask of the articles."""
        of = self.articles.column
        return Described(
            of("article_id"),
            of("author"),
            of("category"),
            of("tags"),
            of("url"),
            of("title"),
            self.model.live.live_rows,
        )

    def over(self, now_ms: int) -> NDArray[np.int64]:
        """Return the live places that are over, or not out yet, at an instant."""
        since, until, found = self._over  # one tuple, so no thread meets half of it
        if not since <= now_ms < until:
            found = np.flatnonzero((self._expires_ms <= now_ms) | (self._published_ms > now_ms))
            changes = np.concatenate((self._expires_ms, self._published_ms))
            until = int(changes[changes > now_ms].min(initial=NEVER))
            self._over = now_ms, until, found
        return found

    def why(
        self,
        reader: UserState | None,
        context: int | None,
        n: int,
        blocked: NDArray[np.int64],
        rules: Resolved,
        editorial: Editorial,
    ) -> PageTrace:
        """Return one page's making."""
        n_slots = slots_of(n, self.model.config.n_latest)
        return PageTrace(
            self.builder, self.articles, rules.rules, reader, context, n_slots, blocked, editorial
        )

    def page(
        self,
        why: PageTrace,
        made: Mapping[str, list[Slot]],
        notes: Mapping[str, str],
        drawn: Mapping[int, float],
    ) -> Page:
        """Return a page to serve; `drawn` are the chances of live places drawn at random."""
        lists = {name: self._shown(why, name, made[name], drawn) for name in LISTS}
        told = tuple(f"{name}: {notes[name]}" for name in LISTS if name in notes)
        return Page(self.meta.run_id, told, MappingProxyType(lists))

    def _shown(
        self, why: PageTrace, list_name: str, slots: Sequence[Slot], drawn: Mapping[int, float]
    ) -> tuple[Recommendation, ...]:
        found = []
        for place, score, code, because, rules in slots:
            card = self._cards[place]
            title = self.articles[because].title if because >= 0 else ""
            if code == "because_read" and not title:
                code = "taste"  # an article known by id alone has no title to name
            reason = reason_text(code, title=title, category=card[2])
            found.append(
                Recommendation(
                    *card,
                    score,
                    reason,
                    code,
                    drawn.get(place, 1.0),
                    rules,
                    why,
                    (list_name, place),
                )
            )
        return tuple(found)

    def _anonymous_page(
        self, context: int | None, n: int, blocked: bytes, rules: Resolved, editorial: Editorial
    ) -> Page:
        """Return the page of a reader nobody knows; most page views are theirs."""
        places = np.frombuffer(blocked, dtype=np.int64)
        why = self.why(None, context, n, places, rules, editorial)
        return self.page(why, why.built.lists, why.built.notes, {})
