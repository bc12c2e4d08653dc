"""One run in a server's memory: its articles, its pages, and the words of its slots."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.blend.live_model import UserState
from recsys.blend.profiles import UserStateBuilder
from recsys.computed_once import computed_once
from recsys.files import version_of
from recsys.page.build import NOTHING, PageBuilder
from recsys.page.explain import PageTrace
from recsys.page.known_articles import KnownArticle
from recsys.page.list_table import Layout, PageList, list_names
from recsys.page.reasons import (
    BECAUSE_READ,
    BESIDE_ARTICLE,
    CHOSEN,
    CODES,
    LEAST_MINUTES,
    NAMES_SECTION,
    READING_TIME,
    RELATED,
    SAME_SECTION,
    TOPIC,
    Reason,
    reason_in,
)
from recsys.page.rules import EVERY, Described, Editorial, Resolved
from recsys.page.slots import Slot, unpack_page
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect, reading
from recsys.rows import UNKNOWN_TIME, to_ms
from recsys.serving.connections import ConnectionPool
from recsys.serving.responses import Page, ReadOnly, Recommendation

PAGES_KEPT = 1000  # of anonymous users, in memory: the latest asked for
LAYOUTS_KEPT = 256  # with other numbers of slots than the settings say
ENGLISH = "en"  # of words where neither call, settings nor articles say a language
NEVER = np.iinfo(np.int64).max


class Hidden(NamedTuple):
    """The articles that are expired, withdrawn, not published yet, or no articles at all.

    Attributes
    ----------
    known : array of bool, shape (n_known,)
        Which of the known articles.
    live : array of int64
        The live indices of those that are live.
    """

    known: NDArray[np.bool_]
    live: NDArray[np.int64]


def _card(article: KnownArticle) -> tuple[str, str, str, str, datetime | None]:
    """Return what every slot with an article shows of it: the first of `Recommendation`."""
    name = article.article_id, article.title
    return *name, article.category, article.url, article.published_at


def _because_read(
    trace: PageTrace, list_name: str, live_index: int, because: int
) -> tuple[Reason, int]:
    """Return a reason that names a read which a list may name, and that read.

    Where the list may not name the read, it is another one, and -1; where it may name none, it is
    a taste for such articles.
    """
    title = trace.title(list_name, because) if because >= 0 else ""
    if not title:
        title, because = trace.title_read(list_name, live_index), -1
    return ((BECAUSE_READ, title) if title else ("taste", "")), because


def _titles(layout: Layout, language: str) -> Mapping[str, str]:
    return ReadOnly({of.name: of.title(language) for of in layout.lists})


class LoadedRun:
    """A run in memory; it never changes, so threads share it without a lock.

    Parameters
    ----------
    folder, run_id
        The published folder, and the run in it.
    run_key
        The key by which it and its base run must be signed; None if they need not be.

    Attributes
    ----------
    connections
        To its file and, for a refresh, to that of its base run. They are to be retired when the
        run is no longer served, so that its files are free.

    Raises
    ------
    SnapshotError
        If it is damaged, or holds what no run may hold.
    """

    def __init__(self, folder: Path, run_id: str, run_key: bytes | None = None) -> None:
        path = published_folder.run_path(folder, run_id)
        version = version_of(path)
        with closing(connect(path, run_key)) as conn, reading(path):
            self.meta = run_file.load_meta(conn, path)
            self.model, self.rank = run_file.load_model(conn, path)
            self.articles = run_file.load_articles(conn, path)
            if len(self.articles) != len(self.model.live.category):
                raise ValueError("its articles are not as many as its arrays say")
            self.builder, self.users = PageBuilder(self.model), UserStateBuilder(self.model)
            self.as_of_ms = to_ms(datetime.fromisoformat(self.meta.as_of))
        self.list_names = list_names(self.meta.config)
        self.paths, self._versions = [path], [version]
        if self.meta.base is not None:
            base = published_folder.run_path(folder, self.meta.base)
            self.paths.append(base)
            self._versions.append(version_of(base))
            connect(base, run_key).close()
        self.connections = ConnectionPool(self.paths, run_key)
        self._rows = self.model.live.live_rows.tolist()
        live = [self.articles[row] for row in self._rows]
        ids = self.articles.column("article_id")
        self.known = dict(zip(ids, range(len(ids)), strict=True))
        self._begins_ms = self.articles.instants("published_ms", UNKNOWN_TIME)
        ends = (self.articles.instants(name, NEVER) for name in ("expires_ms", "withdrawn_ms"))
        self._ends_ms = np.minimum(*ends)
        self._untitled = np.zeros(len(ids), dtype=bool)
        if self.meta.config.data.require_title:
            titles = self.articles.column("title")
            self._untitled |= np.array([title == "" for title in titles], dtype=bool)
        self._sections = self.articles.column("category")
        self._cards = [_card(article) for article in live]
        # From when until when which articles are hidden.
        self._hidden = 0, 0, Hidden(self._untitled, NOTHING)
        self.anonymous_page = lru_cache(maxsize=PAGES_KEPT)(self._anonymous_page)
        self.resized = lru_cache(maxsize=LAYOUTS_KEPT)(self._resized)
        self._titles = lru_cache(maxsize=LAYOUTS_KEPT)(_titles)

    @property
    def versions(self) -> list[tuple[int, int] | None]:
        """The versions that the run's file and that of its base run have now."""
        return [version_of(path) for path in self.paths]

    @property
    def has_changed(self) -> bool:
        """Return whether the run's file or that of its base run was written again."""
        return self.versions != self._versions

    @computed_once
    def described(self) -> Described:
        """Return what rules may ask of the articles."""
        return Described.of(self.articles, self.model.live.live_rows)

    def hidden(self, now_ms: int) -> Hidden:
        """Return the articles that must not be shown at an instant, whatever the rules say."""
        since, until, found = self._hidden  # one tuple, so that no thread sees half of it
        if not since <= now_ms < until:
            known = (self._ends_ms <= now_ms) | (self._begins_ms > now_ms) | self._untitled
            found = Hidden(known, np.flatnonzero(known[self.model.live.live_rows]))
            changes = np.concatenate((self._ends_ms, self._begins_ms))
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
        language: str,
        withheld: NDArray[np.bool_],
    ) -> PageTrace:
        """Return how one page is made; see `PageTrace`."""
        return PageTrace(
            self.builder,
            self.articles,
            rules.rules,
            user=user,
            context=context,
            layout=layout,
            blocked=blocked,
            editorial=editorial,
            language=self.builder.rankings.language_number(language),
            withheld=withheld,
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
        language: str,
    ) -> Page:
        """Return a page to serve, with its words in a language.

        `propensity` is of the live articles that were drawn.
        """
        shown = {
            of.name: self._shown(trace, of, lists[of.name], propensity, language)
            for of in trace.layout.lists
        }
        said = tuple(f"{name}: {notes[name]}" for name in shown if name in notes)
        titles = self._titles(trace.layout, language)
        return Page(self.meta.run_id, language, titles, ReadOnly(shown), said)

    def _shown(
        self,
        trace: PageTrace,
        of: PageList,
        slots: Sequence[Slot],
        propensity: Mapping[int, float],
        language: str,
    ) -> tuple[Recommendation, ...]:
        found, cards, plain, list_name = [], self._cards, self._plain_reasons, of.name
        new = tuple.__new__  # a page makes twenty: `Recommendation(...)` takes twice the time
        said_before: set[Reason] = set()
        # Popular Now does not say that an article is new, nor Latest Stories that it is popular.
        has_purpose = of.row.reason not in ("", RELATED)
        for live_index, score, code, because, rules in slots:
            card = cards[live_index]
            if code == BECAUSE_READ:
                reason, because = _because_read(trace, list_name, live_index, because)
            else:
                reason = plain[live_index][code]
            if code == RELATED or (reason in said_before and code != CHOSEN):
                reason = self._other_reason(
                    trace, live_index, because, reason, has_purpose, said_before
                )
            said_before.add(reason)
            text, named = reason_in(language, *reason)
            chance = propensity.get(live_index, 1.0)
            place = list_name, live_index
            fields = (*card, score, text, reason[0], chance, rules, named, trace, place)
            found.append(new(Recommendation, fields))
        return tuple(found)

    def reason_for(self, trace: PageTrace, user: UserState, live_index: int) -> Reason:
        """Return why a live article is for a user, under the rules of a front page.

        Parameters
        ----------
        trace
            Of a front page of this user.
        user, live_index
            The user and the article.
        """
        code, because = self.builder.reason(user, live_index)
        if code == BECAUSE_READ:
            return _because_read(trace, EVERY, live_index, because)[0]
        return self._plain_reasons[live_index][code]

    def _other_reason(
        self,
        trace: PageTrace,
        live_index: int,
        because: int,
        own: Reason,
        has_purpose: bool,
        said_before: set[Reason],
    ) -> Reason:
        """Return the first true reason of a slot that its list does not give yet.

        A topic that the article shares with the one behind the reason comes first, then its own
        reason, the section where it is that of the article being read, what lifts it for all
        users (unless the list has a purpose of its own), and the reading time. Where the list
        gives all of them, the first one is repeated.
        """
        beside = own[0] in BESIDE_ARTICLE
        other = trace.context if beside else because
        if other is None or other < 0:
            found: list[Reason] = [own]
        else:
            row, shared = self._rows[live_index], self._topics[other]
            topics = self._topics[row] if shared else shared
            found = [*(reason for topic, reason in topics.items() if topic in shared), own]
            section = self._sections[row]
            if beside and section and section == self._sections[other]:
                found.append((SAME_SECTION, section))
        if found[0] not in said_before:
            return found[0]
        lifts = () if has_purpose else self._lifts[live_index]
        for reason in chain(found, lifts, self._reading_time[live_index]):
            if reason not in said_before:
                return reason
        return found[0]

    @computed_once
    def _plain_reasons(self) -> list[dict[str, Reason]]:
        """Return, by live index, the reasons that name the section or nothing, by code."""

        @cache
        def of_section(section: str) -> dict[str, Reason]:
            return {code: (code, section if code in NAMES_SECTION else "") for code in CODES}

        return [of_section(self._sections[row]) for row in self._rows]

    @computed_once
    def _topics(self) -> list[dict[str, Reason]]:
        """Return the topics of each known article, best first, with the reasons that name them."""
        topics = self.articles.column("topics")
        return [{topic: (TOPIC, topic) for topic in text.splitlines()} for text in topics]

    @computed_once
    def _lifts(self) -> list[tuple[Reason, ...]]:
        """Return, by live index, the reasons of what lifts an article for all users."""
        articles = zip(self._plain_reasons, self.builder.lifted_by(), strict=True)
        return [tuple(plain[code] for code in codes) for plain, codes in articles]

    @computed_once
    def _reading_time(self) -> list[tuple[Reason, ...]]:
        """Return, by live index, the reason of the reading time, if it is one."""
        minutes = [round(n or 0) for n in self.articles.column("reading_minutes")]
        of_known = [((READING_TIME, str(n)),) if n >= LEAST_MINUTES else () for n in minutes]
        return [of_known[row] for row in self._rows]

    def _anonymous_page(
        self,
        context: int | None,
        layout: Layout,
        blocked: bytes,
        rules: Resolved,
        editorial: Editorial,
        language: str,
    ) -> Page:
        """Return the page of an anonymous user; most page views are theirs."""
        hidden = np.frombuffer(blocked, dtype=np.int64)
        # Of an anonymous page only live articles can be named, in explanations.
        withheld = np.zeros(len(self.articles), dtype=bool)
        withheld[self.model.live.live_rows[hidden]] = True
        trace = self.trace(None, context, layout, hidden, rules, editorial, language, withheld)
        return self.page(trace, trace.built.lists, trace.built.notes, {}, language)
