"""One run in a server's memory: its articles, its pages, and the words of its slots."""

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
from recsys.page.build import NOTHING, PageBuilder, Slot, unpack_page
from recsys.page.explain import PageTrace
from recsys.page.known_articles import KnownArticle
from recsys.page.list_table import Layout
from recsys.page.reasons import BECAUSE_READ, reason_text
from recsys.page.rules import Described, Editorial, Resolved
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect, reading
from recsys.rows import UNKNOWN_TIME, from_ms, to_ms
from recsys.serving.responses import Page, Recommendation

PAGES_KEPT = 1000  # of anonymous users, in memory: the latest asked for
LAYOUTS_KEPT = 256  # with other numbers of slots than the settings say
NEVER = np.iinfo(np.int64).max


def _card(article: KnownArticle) -> tuple[str, str, str, str, datetime | None]:
    """Return what every slot with an article shows of it: the first of `Recommendation`."""
    published = None if article.published_ms is None else from_ms(article.published_ms)
    return article.article_id, article.title, article.category, article.url, published


def _titles(layout: Layout) -> Mapping[str, str]:
    return MappingProxyType({of.name: of.title() for of in layout.lists})


class LoadedRun:
    """A run in memory; it never changes, so threads share it without a lock.

    Raises
    ------
    SnapshotError
        If it is damaged, or holds what no run may hold.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        path = self.path = published_folder.run_path(folder, run_id)
        self.state = version_of(path)
        with closing(connect(path)) as conn, reading(path):
            self.meta = run_file.load_meta(conn, path)
            self.model, self.rank = run_file.load_model(conn, path)
            self.articles = run_file.load_articles(conn, path)
            if len(self.articles) != len(self.model.live.category):
                raise ValueError("its articles are not as many as its arrays say")
            self.builder, self.users = PageBuilder(self.model), UserStateBuilder(self.model)
            self.as_of_ms = to_ms(datetime.fromisoformat(self.meta.as_of))
        self.paths = [self.path]
        if self.meta.base is not None:
            self.paths.append(published_folder.run_path(folder, self.meta.base))
            connect(self.paths[1]).close()
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
        self._hidden = 0, 0, NOTHING  # from when until when which live articles are hidden
        self.anonymous_page = lru_cache(maxsize=PAGES_KEPT)(self._anonymous_page)
        self.resized = lru_cache(maxsize=LAYOUTS_KEPT)(self._resized)
        self._titles = lru_cache(maxsize=LAYOUTS_KEPT)(_titles)

    @cached_property
    def described(self) -> Described:
        """Return what rules may ask of the articles."""
        return Described.of(self.articles, self.model.live.live_rows)

    def hidden(self, now_ms: int) -> NDArray[np.int64]:
        """Return the live articles that are expired, or not published yet, at an instant."""
        since, until, found = self._hidden  # one tuple, so that no thread sees half of it
        if not since <= now_ms < until:
            found = np.flatnonzero((self._expires_ms <= now_ms) | (self._published_ms > now_ms))
            changes = np.concatenate((self._expires_ms, self._published_ms))
            until = int(changes[changes > now_ms].min(initial=NEVER))
            self._hidden = now_ms, until, found
        return found

    def _resized(self, layout: Layout, slots: tuple[int, ...]) -> Layout:
        """Return a layout with other numbers of slots; the same object as long as it is kept."""
        return layout.resized(dict(zip(layout.names, slots, strict=True)))

    def trace(
        self,
        user: UserState | None,
        context: int | None,
        layout: Layout,
        blocked: NDArray[np.int64],
        rules: Resolved,
        editorial: Editorial,
    ) -> PageTrace:
        """Return how one page is made."""
        return PageTrace(
            self.builder,
            self.articles,
            rules.rules,
            user=user,
            context=context,
            layout=layout,
            blocked=blocked,
            editorial=editorial,
        )

    def stored_page(
        self, packed: bytes | None, layout: Layout, hidden: NDArray[np.int64]
    ) -> dict[str, list[Slot]] | None:
        """Return the page that the night made, None if it made none or some of it is hidden.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        if packed is None:
            return None
        page = unpack_page(packed, layout, n_live=len(self.model.story), n_known=len(self.articles))
        if len(hidden):
            shown = [slot.live_index for slots in page.values() for slot in slots]
            return None if np.isin(shown, hidden).any() else page
        return page

    def page(
        self,
        trace: PageTrace,
        lists: Mapping[str, list[Slot]],
        notes: Mapping[str, str],
        propensity: Mapping[int, float],
    ) -> Page:
        """Return a page to serve; `propensity` is of the live articles that were drawn."""
        names = trace.layout.names
        shown = {name: self._shown(trace, name, lists[name], propensity) for name in names}
        said = tuple(f"{name}: {notes[name]}" for name in names if name in notes)
        titles = self._titles(trace.layout)
        return Page(self.meta.run_id, said, MappingProxyType(shown), titles)

    def _shown(
        self,
        trace: PageTrace,
        list_name: str,
        slots: Sequence[Slot],
        propensity: Mapping[int, float],
    ) -> tuple[Recommendation, ...]:
        found = []
        for live_index, score, code, because, rules in slots:
            card = self._cards[live_index]
            title = self.articles[because].title if because >= 0 else ""
            if code == BECAUSE_READ and not title:
                code = "taste"  # an article that is known by its id alone has no title to name
            found.append(
                Recommendation(
                    *card,
                    score,
                    reason_text(code, title=title, category=card[2]),
                    code,
                    propensity.get(live_index, 1.0),
                    rules,
                    trace,
                    (list_name, live_index),
                )
            )
        return tuple(found)

    def _anonymous_page(
        self,
        context: int | None,
        layout: Layout,
        blocked: bytes,
        rules: Resolved,
        editorial: Editorial,
    ) -> Page:
        """Return the page of an anonymous user; most page views are theirs."""
        hidden = np.frombuffer(blocked, dtype=np.int64)
        trace = self.trace(None, context, layout, hidden, rules, editorial)
        return self.page(trace, trace.built.lists, trace.built.notes, {})
