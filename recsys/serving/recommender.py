"""Pages for web servers: reads what the night published, never trains.

Imports neither scikit-learn nor implicit. The clock is read here and only to know
what has expired, unless `as_of` is given.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from sqlite3 import Connection

import numpy as np
from numpy.typing import NDArray

from recsys.blend import curves
from recsys.blend.live_model import UserState
from recsys.errors import SnapshotError
from recsys.files import version_of
from recsys.page.build import Slot, unpack_page
from recsys.page.compose import LISTS, slots_of
from recsys.page.known_articles import KnownArticle
from recsys.page.rules import NO_RULES, Resolved
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.rows import HOUR_MS, is_text, to_ms
from recsys.serving.loaded_run import LoadedRun
from recsys.serving.responses import Health, Page, Ranked

PUBLISHED = Path("published")
MOST_SLOTS = 100  # of a list: an assignment grows with the square of them


class Recommender:
    """Answers `recommend` from a published folder, and follows each new publish.

    Safe for any number of threads: a page is made from one run, taken once.

    Parameters
    ----------
    published
        The folder `recsys nightly --published` writes to.

    Raises
    ------
    NotPublishedError
        If nothing is published there.
    SnapshotError
        If no published run can be opened. Where the current one is damaged or not named, the
        last good one before it is served, and `health` says so.
    """

    def __init__(self, published: str | Path = PUBLISHED) -> None:
        self._folder = Path(published)
        self._pointer, self._rules_file = (
            str(self._folder / name) for name in (published_folder.POINTER, published_folder.RULES)
        )
        self._lock = threading.Lock()
        self._local = threading.local()
        self._refused: dict[str, str] = {}  # by file or run: why what is published is not served
        self._seen = version_of(self._pointer)
        self._run = self._opened()
        state = version_of(self._rules_file)
        rules = Resolved(
            published_folder.load_rules(self._folder, LISTS), self._run.described, LISTS
        )
        self._rules = (state, self._run, rules)

    def _opened(self) -> LoadedRun:
        """Return the current run or, if it cannot be opened, the last one before that can."""
        runs, problem = published_folder.run_ids(self._folder), ""
        try:
            current = published_folder.current_run(self._folder)
            if current in runs:
                runs = runs[: runs.index(current) + 1]
            elif current is None:
                problem = self._unnamed()
            else:
                problem = f"{self._folder / published_folder.POINTER}: {current!r} is no run here"
        except SnapshotError as error:
            problem = str(error)
        for run_id in reversed(runs):
            try:
                run = LoadedRun(self._folder, run_id)
            except SnapshotError as error:
                problem = problem or str(error)
                continue
            if problem:
                self._refused[published_folder.POINTER] = problem
            return run
        published_folder.require_current(self._folder)
        raise SnapshotError(problem)

    def _unnamed(self) -> str:
        return f"{self._folder / published_folder.POINTER}: missing; `recsys rollback RUN`"

    def _current(self) -> LoadedRun:
        """Return the run to serve; opens a newly published one, once.

        While one thread opens it, the others go on with the run they have. A run
        that cannot be opened is not served: the last good one is.
        """
        state = version_of(self._pointer)
        if state != self._seen and state is not None and self._lock.acquire(blocking=False):
            try:
                run_id = published_folder.current_run(self._folder)
                if run_id and (
                    run_id != self._run.meta.run_id or version_of(self._run.path) != self._run.state
                ):
                    self._run = LoadedRun(self._folder, run_id)
                self._refused.pop(published_folder.POINTER, None)
                self._seen = state
            except SnapshotError as error:
                self._refused[published_folder.POINTER] = str(error)
                self._seen = state
            finally:
                self._lock.release()
        return self._run

    def _resolved(self, run: LoadedRun) -> Resolved:
        """Return the rules of the folder, resolved against a run; read anew when they change.

        A file that cannot be read changes nothing: the last good rules hold.
        """
        state = version_of(self._rules_file)
        seen, of_run, resolved = self._rules  # one tuple, so no thread meets half of it
        if state == seen and run is of_run:
            return resolved
        rules = resolved.rules
        try:
            rules = published_folder.load_rules(self._folder, LISTS)
            self._refused.pop(published_folder.RULES, None)
        except SnapshotError as error:
            self._refused[published_folder.RULES] = str(error)
        resolved = Resolved(rules, run.described, LISTS)
        self._rules = (state, run, resolved)
        return resolved

    def _connections(self, run: LoadedRun) -> list[tuple[Connection, Path]]:
        """Return this thread's connections: to the run, and to the night it refreshes."""
        local = self._local
        if getattr(local, "run", None) is not run:
            for conn, _ in getattr(local, "conns", ()):
                conn.close()
            local.conns, local.run = [(run_file.connect(path), path) for path in run.paths], run
        conns: list[tuple[Connection, Path]] = local.conns
        return conns

    def recommend(
        self,
        user_id: str | None = None,
        article_id: str | None = None,
        *,
        n: int = 5,
        lists: Sequence[str] | None = None,
        recent_clicks: Sequence[str] = (),
        exclude: Sequence[str] = (),
        as_of: datetime | None = None,
        explore: int = 0,
        random_state: int | None = None,
    ) -> Page:
        """Return one page; parameters as of `recsys.recommend`."""
        _check_ids(user_id, article_id, recent_clicks=recent_clicks, exclude=exclude)
        wanted = _wanted(lists)
        run = self._current()
        live, config = run.model.live, run.model.config
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_SLOTS:
            raise ValueError(f"n must be a whole number from 1 to {MOST_SLOTS}, got {n!r}")
        if isinstance(explore, bool) or not isinstance(explore, int) or not 0 <= explore <= n:
            raise ValueError(f"explore must be a whole number from 0 to n, got {explore!r}")
        now_ms = _now_ms(as_of)
        closed = run.over(now_ms)
        context = None if article_id is None else run.known.get(article_id)
        packed, stored = self._profile(run, user_id)
        fresh = [run.known[a] for a in recent_clicks if a in run.known]
        reader = run.readers.reader(packed, fresh) if packed or fresh else None
        blocked = closed
        if exclude:
            out = live.live_index_of([run.known[a] for a in exclude if a in run.known])
            blocked = np.concatenate((closed, out[out >= 0]))
        rules = self._resolved(run)
        editorial = rules.at(now_ms, context)
        if reader is None and not explore:
            return run.anonymous_page(context, n, blocked.tobytes(), rules, editorial).of(wanted)
        why = run.why(reader, context, n, blocked, rules, editorial)
        as_made = context is None and n == config.n and editorial is NO_RULES
        made = None
        if as_made and not (fresh or exclude or explore):
            made = _published(run, stored, closed)
        notes: Mapping[str, str] = {}
        drawn: dict[int, float] = {}
        if made is None:
            made, notes = why.built.lists, why.built.notes
        if explore:
            rng = np.random.default_rng(random_state)
            made, drawn = run.builder.explored(why.built, reader, explore, rng, editorial)
        return run.page(why, made, notes, drawn).of(wanted)

    def health(self, *, as_of: datetime | None = None, max_hours: float = 36.0) -> Health:
        """Return how this server stands, for a monitor to ask.

        Parameters
        ----------
        as_of
            By default the present. Naive is UTC.
        max_hours
            How old what the run knows may be.
        """
        run = self._current()
        self._resolved(run)
        now_ms = _now_ms(as_of)
        hours = (now_ms - run.as_of_ms) / HOUR_MS
        told_of = (published_folder.POINTER, published_folder.RULES, run.meta.run_id)
        found = [self._refused[name] for name in told_of if name in self._refused]
        if version_of(self._pointer) is None and not found:
            found.append(self._unnamed())
        problems = [f"not served: {problem}" for problem in found]
        if hours > max_hours:
            problems.append(f"{run.meta.run_id} knows nothing of the last {hours:.1f} hours")
        return Health(run.meta.run_id, round(hours, 2), tuple(problems))

    def article(self, article_id: str) -> KnownArticle | None:
        """Return what the current run knows of an article, None for nothing."""
        run = self._current()
        place = run.known.get(article_id)
        return None if place is None else run.articles[place]

    def rank(
        self,
        user_id: str | None,
        candidates: Sequence[str],
        *,
        article_id: str | None = None,
        recent_clicks: Sequence[str] = (),
        as_of: datetime | None = None,
    ) -> tuple[Ranked, ...]:
        """Return given articles in the order this reader is likeliest to click them.

        For boxes whose articles an editor chose. The order is that of the curves the
        night learned from clicks among what was shown, or of the score of You May Also
        Like where there were too few impressions to learn from.

        Parameters
        ----------
        user_id
            The reader; None or an unknown id for anybody.
        candidates
            Article ids, each once. One the run does not know counts as brand-new.
        article_id
            The article being read, if any.
        recent_clicks, as_of
            As of `recsys.recommend`; `as_of` is what the articles' age is told by.

        Returns
        -------
        tuple of Ranked
            All candidates, best first; ties in the order given.

        Raises
        ------
        ValueError, TypeError
            If an argument is not what it must be.
        """
        _check_ids(user_id, article_id, recent_clicks=recent_clicks, candidates=candidates)
        if len(set(candidates)) < len(candidates):
            raise ValueError(f"candidates must be distinct, got {candidates!r}")
        run = self._current()
        fresh = [run.known[a] for a in recent_clicks if a in run.known]
        reader = self._reader(run, user_id, fresh)
        context = None if article_id is None else run.known.get(article_id)
        known = np.array([run.known.get(a, -1) for a in candidates], dtype=np.int64)
        now_ms = _now_ms(as_of)
        parts = curves.rank_parts(run.rank, run.model.live, reader, context, known, now_ms)
        score_of = np.sum(list(parts.values()), axis=0) if parts else np.zeros(len(known))
        return tuple(
            Ranked(
                candidates[i],
                round(float(score_of[i]), 4),
                {name: round(float(part[i]), 4) for name, part in parts.items() if part[i]},
            )
            for i in np.argsort(-score_of, kind="stable").tolist()
        )

    def _reader(
        self, run: LoadedRun, user_id: str | None, clicks: Sequence[int] = ()
    ) -> UserState | None:
        """Return a known reader after some clicks (known indices), counts and all."""
        packed, _ = self._profile(run, user_id)
        return run.readers.reader_at(packed, run.as_of_ms, clicks) if packed or clicks else None

    def _profile(self, run: LoadedRun, user_id: str | None) -> tuple[bytes, bytes | None]:
        """Return a known reader's packed profile and published page; b"" for anybody else.

        One whose row is damaged is anybody, and `health` tells.
        """
        if user_id is None or not is_text(user_id):
            return b"", None
        try:
            for conn, path in self._connections(run):
                row = run_file.find_profile(conn, user_id, path)
                if row is not None:
                    return row[0], None if run.meta.base else row[1]
        except SnapshotError as error:
            self._refused[run.meta.run_id] = str(error)
        return b"", None


def _published(
    run: LoadedRun, stored: bytes | None, closed: NDArray[np.int64]
) -> dict[str, list[Slot]] | None:
    """Return the page the night made, or None if it made none or some of it is over."""
    if stored is None:
        return None
    page = unpack_page(stored, slots_of(run.model.config.n, run.model.config.n_latest))
    places = [slot.place for slots in page.values() for slot in slots]
    return None if len(closed) and np.isin(places, closed).any() else page


def _check_ids(user_id: object, article_id: object, **sequences: object) -> None:
    for name, value in (("user_id", user_id), ("article_id", article_id)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a string or None, got {value!r}")
    for name, value in sequences.items():
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"{name} must be a sequence of article ids, got {value!r}")
        if not all(isinstance(item, str) for item in value):
            raise TypeError(f"{name} must hold strings only, got {value!r}")


def _now_ms(as_of: datetime | None) -> int:
    if as_of is not None and not isinstance(as_of, datetime):
        raise TypeError(f"as_of must be a datetime or None, got {as_of!r}")
    return to_ms(datetime.now(UTC) if as_of is None else as_of)


def _wanted(lists: Sequence[str] | None) -> tuple[str, ...]:
    if lists is None:
        return LISTS
    unknown = [name for name in lists if name not in LISTS]
    if isinstance(lists, str) or unknown:
        raise ValueError(f"lists must be some of {', '.join(LISTS)}, got {lists!r}")
    return tuple(name for name in LISTS if name in lists)


@lru_cache(maxsize=8)
def _recommender(published: Path) -> Recommender:
    return Recommender(published)


def recommend(
    user_id: str | None = None,
    article_id: str | None = None,
    *,
    n: int = 5,
    lists: Sequence[str] | None = None,
    recent_clicks: Sequence[str] = (),
    exclude: Sequence[str] = (),
    as_of: datetime | None = None,
    explore: int = 0,
    random_state: int | None = None,
    published: str | Path | None = None,
) -> Page:
    """Return the lists of one page.

    Parameters
    ----------
    user_id
        The reader; None or an unknown one is an anonymous reader.
    article_id
        The article being read; None for a front page. An unknown one (published
        since the run) gives the reader's page without it.
    n
        Slots of each ranked list, 1 to 100.
        Latest Stories keeps its own number (6).
    lists
        Names of the lists to return, by default all. The page is composed whole all
        the same, so lists fetched one by one do not repeat each other.
    recent_clicks
        Article ids this reader clicked since the run, oldest first; they count at once.
    exclude
        Article ids that must not appear.
    as_of
        What has expired by then is left out; by default the present. Naive is UTC.
    explore
        The last so many slots of You May Also Like are drawn at random from the best
        articles that may stand there. Log the `propensity` of each slot with the impression
        (`propensities`), and `recsys evaluate` can tell what the ranking would not have shown.
    random_state
        Seed of that draw; by default another each time.
    published
        The published folder, by default `published` in the working directory.

    Returns
    -------
    Page
        A mapping from list name to `Recommendation`s, best first. No article and no
        story twice on it, nothing this reader has read, never the article itself. A
        list is shorter than `n` only when the live articles run out; `notes` says so.

    Raises
    ------
    NotPublishedError
        If nothing is published there.
    SnapshotError
        If the current run is damaged.
    ValueError, TypeError
        If an argument is not what it must be. Unknown ids are no error.
    """
    folder = PUBLISHED if published is None else Path(published)
    return _recommender(folder.absolute()).recommend(
        user_id,
        article_id,
        n=n,
        lists=lists,
        recent_clicks=recent_clicks,
        exclude=exclude,
        as_of=as_of,
        explore=explore,
        random_state=random_state,
    )
