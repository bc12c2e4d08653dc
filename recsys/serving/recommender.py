"""Pages for web servers: reads what a nightly run published, never trains.

Imports neither scikit-learn nor implicit. The clock is read here, and only to know what has
expired, unless `as_of` is given.
"""

import os
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import index
from pathlib import Path
from typing import SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from recsys.blend.curves import rank_parts
from recsys.blend.live_model import UserState
from recsys.errors import SnapshotError
from recsys.ids import Id
from recsys.keys import RUN_KEY, key_of, require_key_length
from recsys.page.explore import explored
from recsys.page.known_articles import KnownArticle
from recsys.page.list_table import Layout
from recsys.page.rules import NO_RULES
from recsys.page.slots import Slot
from recsys.published.user_rows import find_profile
from recsys.rows import HOUR_MS, is_anonymous, is_text
from recsys.serving.arguments import (
    explored_lists,
    id_of,
    ids_of,
    language_of,
    n_users_of,
    now_ms_of,
    slots_of,
    wanted_lists,
)
from recsys.serving.audience import Audience, choose_users
from recsys.serving.followed_folder import FollowedFolder
from recsys.serving.loaded_run import ENGLISH, LoadedRun
from recsys.serving.responses import Health, Page, Ranked

PUBLISHED = Path("published")


class Recommender:
    """Answers `recommend` from a published folder, and follows each new publish.

    Safe for any number of threads, and for processes that fork after it was made: a page is made
    from one run, taken once.

    Parameters
    ----------
    published
        The folder that `recsys nightly --published` writes to.
    run_key
        The key by which its runs, its pointer and its rules must be signed. By default that of the
        environment variable `RECSYS_RUN_KEY`; without it they need not be signed.

    Raises
    ------
    ConfigError
        If the key does not have 16 to 64 bytes.
    NotPublishedError
        If nothing is published there.
    SnapshotError
        If no published run can be opened. Where the current one is damaged, not signed as it must
        be, or not named, the last good one before it is served, and `health` reports it.
    """

    def __init__(self, published: str | Path = PUBLISHED, *, run_key: bytes | None = None) -> None:
        if run_key is not None:
            require_key_length(run_key, "run_key")
        key = key_of(os.environ, RUN_KEY) if run_key is None else run_key
        self._followed = FollowedFolder(Path(published), key)

    @property
    def run(self) -> LoadedRun:
        """Return the run to serve; see `recsys.serving.followed_folder.FollowedFolder.run`."""
        return self._followed.run

    def recommend(
        self,
        user_id: Id | None = None,
        article_id: Id | None = None,
        *,
        layout: str | None = None,
        n: SupportsIndex | Mapping[str, SupportsIndex] | None = None,
        lists: Iterable[str] | None = None,
        language: str | None = None,
        recent_clicks: Iterable[Id] = (),
        exclude: Iterable[Id] = (),
        as_of: datetime | None = None,
        explore: SupportsFloat | Mapping[str, SupportsFloat] | None = None,
        random_state: SupportsIndex | None = None,
    ) -> Page:
        """Return one page; see `recsys.recommend` for the parameters."""
        asked = language_of(language)
        user_id, article_id = id_of("user_id", user_id), id_of("article_id", article_id)
        clicked, excluded = ids_of("recent_clicks", recent_clicks), ids_of("exclude", exclude)
        run = self.run
        usual = run.builder.layout(layout, has_context=article_id is not None)
        wanted = wanted_lists(lists, usual)
        resized = slots_of(n, usual)
        of = usual if resized is None else run.resized(usual, resized)
        chances = explored_lists(explore, of)
        now_ms = now_ms_of(as_of)
        hidden = run.hidden(now_ms)
        context = None if article_id is None else run.known.get(article_id)
        rankings = run.builder.rankings
        of_page = asked or rankings.language_of(of, context) or ENGLISH
        clicks = [run.known[a] for a in clicked if a in run.known]
        user, stored = self._user_and_page(run, user_id, clicks)
        blocked = hidden.live
        if excluded:
            out = run.model.live.live_index_of([run.known[a] for a in excluded if a in run.known])
            blocked = np.concatenate((hidden.live, out[out >= 0]))
        rules = self._followed.rules(run)
        editorial = rules.at(now_ms, context)
        if user is None and not chances:
            page = run.anonymous_page(context, of, blocked.tobytes(), rules, editorial, of_page)
            return page if lists is None else page.of(wanted)
        trace = run.trace(user, context, of, blocked, rules, editorial, of_page, hidden.known)
        is_stored = context is None and of is run.builder.layout(None, has_context=False)
        if asked:
            usual_language = run.builder.default_language(of, None)
            is_stored = is_stored and rankings.language_number(asked) == usual_language
        made = None
        if is_stored and editorial is NO_RULES and not (clicks or excluded or chances):
            made = self._stored_page(run, stored, of, hidden.live)
        notes: Mapping[str, str] = {}
        propensity: dict[int, float] = {}
        if made is None:
            made, notes = trace.built.lists, trace.built.notes
        if chances:
            rng = np.random.default_rng(None if random_state is None else index(random_state))
            drawn = explored(run.builder, trace.built, chances, rng, editorial)
            made, propensity = drawn.lists, drawn.propensity
        page = run.page(trace, made, notes, propensity, of_page)
        return page if lists is None else page.of(wanted)

    def health(self, *, as_of: datetime | None = None, max_hours: float = 36.0) -> Health:
        """Return the state of what this server serves, for a monitor to ask.

        Parameters
        ----------
        as_of
            By default the present. A naive time is UTC.
        max_hours
            How old the data of the run may be: from 0 up.

        Raises
        ------
        ValueError
            If `max_hours` is negative, or no number: no run would be too old for it.
        """
        if not max_hours >= 0:
            raise ValueError(f"max_hours must be a number from 0 up, got {max_hours}")
        run = self.run
        now_ms, rules = now_ms_of(as_of), self._followed.rules(run)
        hours = (now_ms - run.as_of_ms) / HOUR_MS
        problems = [f"not served: {problem}" for problem in self._followed.problems(run)]
        if hours > max_hours:
            problems.append(
                f"{run.meta.run_id} knows nothing of the last {hours:.1f} hours;"
                " `recsys refresh` or `recsys nightly` publishes a newer run"
            )
        return Health(run.meta.run_id, round(hours, 2), tuple(problems), rules.notes(now_ms))

    def knows_user(self, user_id: Id) -> bool:
        """Return whether the current run has a profile of a user; others get anonymous pages."""
        return self._profile(self.run, id_of("user_id", user_id))[0] != b""

    def article(self, article_id: Id, *, as_of: datetime | None = None) -> KnownArticle | None:
        """Return what the current run knows of an article that may be shown; otherwise None.

        An article that has expired, was withdrawn, is not published yet, or that a rule blocks on
        every page is as good as unknown.

        Parameters
        ----------
        article_id
            The article.
        as_of
            By default the present. A naive time is UTC.
        """
        run, now_ms = self.run, now_ms_of(as_of)
        known = run.known.get(id_of("article_id", article_id) or "")
        if known is None or run.hidden(now_ms).known[known]:
            return None
        withheld = self._followed.rules(run).at(now_ms, None).withheld
        return None if withheld is not None and withheld[known] else run.articles[known]

    def titles(self, layout: str | None = None, *, language: str | None = None) -> dict[str, str]:
        """Return the titles of a layout's lists by name.

        Parameters
        ----------
        layout
            By default `article`.
        language
            By default that of the layout, or of the site.

        Raises
        ------
        ValueError
            If there is no such layout, or the language is no code of one.
        """
        builder = self.run.builder
        of = builder.layout(layout, has_context=True)
        wanted = language_of(language) or builder.rankings.language_of(of, None) or ENGLISH
        return {row.name: row.title(wanted) for row in of.lists}

    def rank(
        self,
        user_id: Id | None,
        candidates: Iterable[Id],
        *,
        new: Iterable[Id] = (),
        article_id: Id | None = None,
        recent_clicks: Iterable[Id] = (),
        as_of: datetime | None = None,
    ) -> tuple[Ranked, ...]:
        """Return given articles in the order in which this user is likeliest to click them.

        For boxes whose articles an editor chose. The order is that of the curves which the nightly
        run learned from clicks among what was shown, or of the score of You May Also Like where
        there were too few impressions to learn from.

        Parameters
        ----------
        user_id
            The user; None or an unknown id for an anonymous one.
        candidates
            Article ids, each once.
        new
            Those of them that were published since the run. They are ranked as brand-new
            articles; other ids that the run does not know come last.
        article_id
            The article being read, if any.
        recent_clicks, as_of
            See `recsys.recommend`; the age of articles is counted up to `as_of`.

        Returns
        -------
        tuple of Ranked
            All candidates, best first; ties, and those that come last, in the order given. Ids
            are spelled as in the store.

        Raises
        ------
        ValueError, TypeError
            If an argument is not what it must be.
        """
        user_id, article_id = id_of("user_id", user_id), id_of("article_id", article_id)
        clicked, ids = ids_of("recent_clicks", recent_clicks), ids_of("candidates", candidates)
        said_new = set(ids_of("new", new))
        if twice := [a for a, n in Counter(ids).items() if n > 1]:
            raise ValueError(f"candidates must be distinct, got {reprlib.repr(twice)} repeatedly")
        run = self.run
        clicks = [run.known[a] for a in clicked if a in run.known]
        user = self.user_with_counts(user_id, clicks)
        context = None if article_id is None else run.known.get(article_id)
        unknown = [a for a in ids if a not in run.known and a not in said_new]
        ids = [a for a in ids if a in run.known or a in said_new]
        known = np.array([run.known.get(a, -1) for a in ids], dtype=np.int64)
        now_ms = now_ms_of(as_of)
        parts = rank_parts(run.rank, run.model.live, user, context, known, now_ms)
        scores = np.sum(list(parts.values()), axis=0) if parts else np.zeros(len(known))
        ranked = [
            Ranked(
                ids[i],
                round(float(scores[i]), 4),
                {name: round(float(part[i]), 4) for name, part in parts.items() if part[i]},
            )
            for i in np.argsort(-scores, kind="stable").tolist()
        ]
        return (*ranked, *(Ranked(article_id, None, {}) for article_id in unknown))

    def audience(
        self,
        article_id: Id,
        n: SupportsIndex = 100,
        *,
        exclude: Iterable[Id] = (),
        language: str | None = None,
        as_of: datetime | None = None,
    ) -> Audience:
        """Return the `n` users likeliest to click an article, without users of `exclude`.

        See `recsys.serving.audience.choose_users`. By default the language is the article's.
        """
        asked, number = language_of(language), n_users_of(n)
        wanted, left_out = id_of("article_id", article_id) or "", ids_of("exclude", exclude, "user")
        run, now_ms = self.run, now_ms_of(as_of)
        rules = self._followed.rules(run)
        found, problem = choose_users(run, rules, wanted, number, set(left_out), asked, now_ms)
        if problem:
            self._followed.refuse(run, problem)
        return found

    def user_with_counts(self, user_id: str | None, clicks: Sequence[int] = ()) -> UserState | None:
        """Return a user as the current run's ranking head sees them, None for an anonymous one.

        Parameters
        ----------
        user_id
            The user.
        clicks
            Known indices of the articles clicked since the run, oldest first.
        """
        run = self.run
        packed, _ = self._profile(run, user_id)
        if not packed and not clicks:
            return None
        try:
            return run.users.state_at(packed, run.as_of_ms, clicks)
        except ValueError as error:
            self._followed.refuse(run, f"a user's profile is damaged: {error}")
            return run.users.state_at(b"", run.as_of_ms, clicks) if clicks else None

    def _user_and_page(
        self, run: LoadedRun, user_id: str | None, clicks: Sequence[int]
    ) -> tuple[UserState | None, bytes | None]:
        """Return a user after some clicks, and the page that the night made for them.

        A user whose profile is damaged gets the anonymous page; `health` reports it.
        """
        packed, stored = self._profile(run, user_id)
        if not packed and not clicks:
            return None, None
        try:
            return run.users.state(packed, clicks), stored
        except ValueError as error:
            self._followed.refuse(run, f"a user's profile is damaged: {error}")
            return (run.users.state(b"", clicks) if clicks else None), None

    def _stored_page(
        self, run: LoadedRun, stored: bytes | None, layout: Layout, hidden: NDArray[np.int64]
    ) -> dict[str, list[Slot]] | None:
        """Return the page that the night made; None if there is none, or it cannot be used."""
        try:
            return run.stored_page(stored, layout, hidden)
        except ValueError as error:
            self._followed.refuse(run, str(error))
            return None

    def _profile(self, run: LoadedRun, user_id: str | None) -> tuple[bytes, bytes | None]:
        """Return a known user's packed profile and stored page; b"" for an anonymous user."""
        if user_id is None or is_anonymous(user_id) or not is_text(user_id):
            return b"", None
        try:
            with run.connections.connected() as conns:
                for conn, path in conns:
                    row = find_profile(conn, user_id, path)
                    if row is not None:
                        return row[0], None if run.meta.base else row[1]
        except SnapshotError as error:
            self._followed.refuse(run, str(error))
        return b"", None


@lru_cache(maxsize=8)
def _recommender(published: Path) -> Recommender:
    return Recommender(published)


def recommend(
    user_id: Id | None = None,
    article_id: Id | None = None,
    *,
    layout: str | None = None,
    n: SupportsIndex | Mapping[str, SupportsIndex] | None = None,
    lists: Iterable[str] | None = None,
    language: str | None = None,
    recent_clicks: Iterable[Id] = (),
    exclude: Iterable[Id] = (),
    as_of: datetime | None = None,
    explore: SupportsFloat | Mapping[str, SupportsFloat] | None = None,
    random_state: SupportsIndex | None = None,
    published: str | Path | None = None,
) -> Page:
    """Return the lists of one page.

    Parameters
    ----------
    user_id
        The user; None or an unknown id is an anonymous user. This id and all others may be a
        text or a whole number: 7 is the id "7", as `recsys ingest` spells it.
    article_id
        The article being read; None for a front page. An unknown one (published since the run)
        gives the user's page without it.
    layout
        Name of the layout, as in `[layouts.NAME]` of the settings that the run was made with.
        By default `article`; without `article_id` it is `front`, if the settings have it.
    n
        Slots of each list, 1 to 100, as a number or by list; by default those of the settings.
        A number leaves lists of the latest articles as they are.
    lists
        Names of the lists to return, by default all. The page is composed whole all the same, so
        lists that are fetched one by one do not repeat each other.
    language
        The language of the page, such as "de"; "de-AT" is the same. Its titles and reasons are
        in it, where recsys has them (English, German, Danish, French, Spanish, Korean), and it
        shows no articles that are in another language. A language that fewer live articles are
        in than a list has slots (`[page] n`) is that of the words only; the articles are then in
        the language of the site. By default it is the language of the layout
        (`[page.languages]`), else that of the article being read, else that of the site
        (`[page] language`).
    recent_clicks
        Ids of articles that this user clicked since the run, oldest first; they count at once.
        Lists of ids may be any iterable but a single text: a list, a set, a numpy array, a
        column of polars or pandas. The ids of a set count in the order of their texts.
    exclude
        Ids of articles that must not appear.
    as_of
        Articles that have expired by then are left out; by default the present. A naive time is
        UTC.
    explore
        How likely the last slot of each list is to hold an article drawn at random from all that
        the list may show: one chance from 0 to 1 for all lists, or chances by list; by default
        those of the settings (`explore`), which are 0 as shipped. Log the `propensity` of each
        slot with the impression (`propensities`), so that `recsys evaluate` can judge what the
        ranking would not have shown.
    random_state
        Seed of that draw; by default another one each time.
    published
        The published folder, by default `published` in the working directory.

    Returns
    -------
    Page
        A mapping from list name to `Recommendation`s, best first. No article and no story appears
        twice on it, nothing that this user has read, never the article itself. A list is shorter
        than asked only if live articles that fit it run out; `notes` says so.

    Raises
    ------
    NotPublishedError
        If nothing is published there.
    SnapshotError
        If the current run is damaged, and no run before it can be served.
    ValueError, TypeError
        If an argument is not what it must be. Unknown ids are no error.
    """
    folder = PUBLISHED if published is None else Path(published)
    return _recommender(folder.absolute()).recommend(
        user_id,
        article_id,
        layout=layout,
        n=n,
        lists=lists,
        language=language,
        recent_clicks=recent_clicks,
        exclude=exclude,
        as_of=as_of,
        explore=explore,
        random_state=random_state,
    )
