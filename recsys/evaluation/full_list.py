"""Make lists from all live articles by each system, to compare them with the next clicks."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_matrix

from recsys.blend.linear import score_parts, total_score
from recsys.blend.live_model import LiveModel, UserState
from recsys.blend.signal_table import FORECAST, HAND_WEIGHTS, signal_names
from recsys.evaluation.backtest import EvaluatedRun
from recsys.evaluation.own_systems import NO_OWN_SYSTEMS, OwnSystems
from recsys.evaluation.page_methods import FRONTIER, PAGE_TITLES, Frontier, Page, pages_by_method
from recsys.evaluation.page_report import PagesOf, best_fixed, dealt, padded_pages
from recsys.evaluation.systems import BEST_FIXED, in_order, without
from recsys.learn.live_choices import CHOICE_HOURS, later_clicks, live_choices
from recsys.learn.past_runs import PastRun, PastRuns
from recsys.page.build import PageBuilder
from recsys.page.list_table import PageList
from recsys.page.rankings import top_n
from recsys.rows import HOUR_MS, iso
from recsys.rows import from_ms as to_datetime
from recsys.signals.event_counts import counted_clicks

LOG = logging.getLogger(__name__)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Baselines that are the sum of some signals of the linear score.
SIGNALS_OF_SYSTEM: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in signal_names("static") if name not in FORECAST},
    "forecast": FORECAST,
    "text": ("text",),
    "collaborative": ("als", "context_item_item"),
}
SYSTEMS = ("random", *SIGNALS_OF_SYSTEM, "hand weights", "blend")
MOMENT_HOURS = range(6, 23, 2)  # of the local day: when the lists are made
LIST_LENGTH = 10


@dataclass(frozen=True, slots=True)
class FullList:
    """Lists made at some moments from all live articles, and what users clicked next.

    The live articles of all moments are numbered end to end. These numbers are called indices
    here.

    Attributes
    ----------
    lists : dict of array of int64, shape (n_lists, LIST_LENGTH)
        By system: indices of articles, -1 for no entry.
    own
        The names of the systems of the caller. A list of theirs without any entry is one that
        they did not score.
    relevant
        For each list, the indices of the articles that its user clicked in the next hours.
    user_key, n_reads : array of int64, shape (n_lists,)
        The user of each list, and how many reads the run knew of the user.
    moment : array of int64, shape (n_lists,)
        The moment that each list was made at: 0 for the first, and so on.
    start : array of int64, shape (n_moments + 1,)
        The articles of moment i have the indices `start[i]` up to `start[i + 1]`.
    pages
        By method of `PAGE_TITLES` and point of `FRONTIER`: the pages, see
        `recsys.evaluation.page_report.PagesOf`.
    personal
        The name of the personal list, "" if the layout has none.
    gains : dict of array of float64, shape (n_articles,)
        By list with a purpose of its own: the gain of each article.
    gain_titles
        The title and the gain of each of those lists, in words.
    read_share : array of float64, shape (n_articles,)
        Share of the moment's users who had read each article; smoothed, never 0.
    story : array of int64, shape (n_articles,)
        Story of each article.
    is_cold : array of bool, shape (n_articles,)
        Articles that no user had clicked by that moment.
    vectors : csr_matrix, shape (n_articles, n_terms)
        Text of each article; different moments have different columns.
    """

    lists: dict[str, Ints]
    own: tuple[str, ...]
    relevant: list[set[int]]
    user_key: Ints
    n_reads: Ints
    moment: Ints
    start: Ints
    pages: dict[str, PagesOf]
    personal: str
    gains: dict[str, Floats]
    gain_titles: dict[str, str]
    read_share: Floats
    story: Ints
    is_cold: NDArray[np.bool_]
    vectors: csr_matrix


def moments(from_ms: int, before_ms: int, zone: tzinfo | None = None) -> Iterator[int]:
    """Yield the moments of a time span at which lists are made.

    They are every two hours from 06:00 to 22:00, since what is best differs through the day, if
    the time span also holds the `CHOICE_HOURS` after them.

    Parameters
    ----------
    from_ms, before_ms
        The time span [from_ms, before_ms).
    zone
        Of the newsroom; None for UTC.
    """
    step = HOUR_MS // 4  # some zones differ from UTC by quarters of an hour
    first = -(-from_ms // step) * step
    for instant_ms in range(first, before_ms - CHOICE_HOURS * HOUR_MS + 1, step):
        local = to_datetime(instant_ms).astimezone(zone or UTC)
        if local.hour in MOMENT_HOURS and local.minute == 0:
            yield instant_ms


def make_full_lists(
    past: PastRuns,
    runs: Sequence[EvaluatedRun],
    *,
    own: OwnSystems = NO_OWN_SYSTEMS,
    random_state: int = 42,
) -> FullList:
    """Make lists from all live articles at `moments`, for each user who then clicked one of them.

    A hit is a click within `CHOICE_HOURS` after a moment on an article that was live then and
    that the user had not read. The system "blend" is the retrieval head; "page" is the personal
    list (You May Also Like) as it is composed with the other lists, where the layout has one. Both
    come from a refresh of that moment. The system "best fixed" has the articles that turned out
    best, see `recsys.evaluation.page_report.best_fixed`.

    Parameters
    ----------
    past
        Trains the refreshes.
    runs
        The evaluated runs. Clicks after the last of them are not looked at.
    own
        Systems of the caller to make lists by too.
    random_state
        Seed of the random system.
    """
    rng = np.random.default_rng(random_state)
    before_ms = max((evaluated.before_ms for evaluated in runs), default=0)
    return _concatenated(
        [
            _lists_of_moment(past, evaluated, moment_ms, before_ms, rng, own)
            for evaluated in runs
            for moment_ms in moments(evaluated.from_ms, before_ms, past.config.ingest.zone())
            if moment_ms < evaluated.before_ms
        ]
    )


def _lists_of_moment(
    past: PastRuns,
    evaluated: EvaluatedRun,
    moment_ms: int,
    before_ms: int,
    rng: np.random.Generator,
    own: OwnSystems,
) -> FullList:
    """Return the lists of one moment."""
    run = past.refresh(evaluated.run, moment_ms, moment_ms)
    with past.steps.step(LOG, f"lists of {iso(moment_ms)}") as counts:
        made = _lists_of(past, run, evaluated, before_ms, rng, own)
        counts["lists"] = len(made.user_key)
    return made


def _lists_of(
    past: PastRuns,
    run: PastRun,
    evaluated: EvaluatedRun,
    before_ms: int,
    rng: np.random.Generator,
    own: OwnSystems,
) -> FullList:
    """Return the lists of the refresh of one moment."""
    model = run.model.page
    learned = dataclasses.replace(model.live, weights=evaluated.heads.weights)
    builder = PageBuilder(dataclasses.replace(model, live=learned))
    layout = builder.layout(None, has_context=False)
    personal = layout.of_scorer("personal")
    judged = [of for of in layout.lists if of.row.purpose]
    choices = list(live_choices(past, run, before_ms=before_ms))
    weights = {"blend": evaluated.heads.weights} | {
        without(name): weights for name, weights in evaluated.weights_without.items()
    }
    user_keys = [choice.user_key for choice in choices]
    live_keys = run.window.articles.id_map.keys[learned.live_rows]
    given = own.full_lists(user_keys, live_keys, run.window.as_of_ms)
    rows: dict[str, list[Ints]] = {name: [] for name in (*SYSTEMS, *learned.own_names())}
    rows |= {name: [] for name in (*weights, *given)}
    best = best_fixed([choice.clicked for choice in choices], max(LIST_LENGTH, layout.n_page))
    rows[BEST_FIXED] = [_padded(np.array(best[:LIST_LENGTH], dtype=np.int64)) for _ in choices]
    fixed_page = dealt(best, {of.name: of.n_slots for of in layout.lists})
    if personal is not None:
        rows["page"], longer = [], layout.resized({personal.name: LIST_LENGTH})
    pages: dict[str, list[Page]] = {name: [] for name in (*PAGE_TITLES, *FRONTIER)}
    frontier = Frontier(builder.model)
    unweighted = model.live.unweighted()
    for i, choice in enumerate(choices):
        scores = {name: values[i].astype(np.float32) for name, values in given.items()}
        for name, ranked in _rankings(unweighted, weights, choice.user, scores, rng).items():
            rows[name].append(_padded(ranked))
        if personal is not None:
            liked = builder.page(choice.user, None, longer).lists[personal.name]
            shown = np.array([slot.live_index for slot in liked], dtype=np.int64)
            rows["page"].append(_padded(shown))
        built = builder.page(choice.user, None, layout)
        seed = (run.window.as_of_ms, choice.user_key)
        for name, page in (
            *pages_by_method(builder, built).items(),
            *frontier.pages(builder, built, choice.user, seed).items(),
        ):
            pages[name].append(page)
        pages[BEST_FIXED].append(fixed_page)
    read_share, is_cold, vectors = _article_facts(run)
    return FullList(
        lists={
            name: np.array(found, dtype=np.int64).reshape(-1, LIST_LENGTH)
            for name, found in in_order(rows).items()
        },
        own=tuple(own.scorers),
        relevant=[choice.clicked for choice in choices],
        user_key=np.array([choice.user_key for choice in choices], dtype=np.int64),
        n_reads=np.array([choice.n_reads for choice in choices], dtype=np.int64),
        moment=np.zeros(len(choices), dtype=np.int64),
        start=np.array([0, len(learned.live_rows)], dtype=np.int64),
        pages={
            name: padded_pages(found, {of.name: of.n_slots for of in layout.lists})
            for name, found in pages.items()
        },
        personal="" if personal is None else personal.name,
        gains=_gains(past, run, judged, before_ms),
        gain_titles={of.name: f"{of.title()}: {of.row.purpose}" for of in judged},
        read_share=read_share,
        story=model.story,
        is_cold=is_cold,
        vectors=vectors,
    )


def _concatenated(parts: Sequence[FullList]) -> FullList:
    """Return the lists of all moments, with the articles numbered end to end."""
    start = np.cumsum([0, *(part.start[-1] for part in parts)], dtype=np.int64)
    shifted = list(zip(parts, start[:-1].tolist(), strict=True))
    no_ints, no_floats = np.zeros(0, dtype=np.int64), np.zeros(0)
    no_rows = np.zeros((0, LIST_LENGTH), dtype=np.int64)
    gain_titles = parts[0].gain_titles if parts else {}
    return FullList(
        lists={
            name: np.concatenate([no_rows, *(_shifted(p.lists[name], by) for p, by in shifted)])
            for name in (parts[0].lists if parts else SYSTEMS)
        },
        own=parts[0].own if parts else (),
        relevant=[{by + i for i in clicked} for p, by in shifted for clicked in p.relevant],
        user_key=np.concatenate([no_ints, *(part.user_key for part in parts)]),
        n_reads=np.concatenate([no_ints, *(part.n_reads for part in parts)]),
        moment=np.concatenate([no_ints, *(part.moment + i for i, part in enumerate(parts))]),
        start=start,
        pages={
            method: {
                name: np.concatenate([_shifted(p.pages[method][name], by) for p, by in shifted])
                for name in parts[0].pages[method]
            }
            for method in (parts[0].pages if parts else ())
        },
        personal=parts[0].personal if parts else "",
        gains={
            name: np.concatenate([no_floats, *(part.gains[name] for part in parts)])
            for name in gain_titles
        },
        gain_titles=gain_titles,
        read_share=np.concatenate([no_floats, *(part.read_share for part in parts)]),
        story=np.concatenate([no_ints, *(p.story + by for p, by in shifted)]),
        is_cold=np.concatenate([np.zeros(0, dtype=bool), *(part.is_cold for part in parts)]),
        vectors=block_diag([part.vectors for part in parts], format="csr")
        if parts
        else csr_matrix((0, 1)),
    )


def _shifted(lists: Ints, offset: int) -> Ints:
    """Return lists with their indices shifted; -1 stays."""
    return np.where(lists >= 0, lists + offset, -1)


def _padded(live_index: Ints) -> Ints:
    """Return a list filled up to `LIST_LENGTH` with -1."""
    row = np.full(LIST_LENGTH, -1, dtype=np.int64)
    row[: len(live_index)] = live_index
    return row


def _gains(
    past: PastRuns, run: PastRun, judged: Sequence[PageList], before_ms: int
) -> dict[str, Floats]:
    """Return the gain of each live article for lists with a purpose of their own.

    It is reading time, in full reads, for `important`, and clicks for the others.
    """
    n_live = len(run.model.page.live.live_rows)
    gains = {}
    for of in judged:
        until_ms = min(run.window.as_of_ms + of.row.gain_hours * HOUR_MS, before_ms)
        clicks, live_index = later_clicks(past, run, until_ms)
        users, articles = clicks.user_key, clicks.article_key
        shared_key = run.window.shared_key
        first = np.flatnonzero(counted_clicks(users, articles, shared_key=shared_key, first=True))
        full_seconds = past.config.collaborative.full_dwell_seconds
        reads = np.minimum(clicks.dwell_seconds[first] / full_seconds, 1.0)
        worth = np.nan_to_num(reads, nan=0.5) if of.scorer == "important" else np.ones(len(first))
        gain = np.bincount(live_index[first], weights=worth, minlength=n_live)
        gains[of.name] = gain.astype(np.float64)  # numpy returns integers if there are no clicks
    return gains


def _article_facts(run: PastRun) -> tuple[Floats, NDArray[np.bool_], csr_matrix]:
    """Return the share of users who read each live article, which are cold, and text vectors."""
    live, vectors, window = run.model.page.live, run.model.rank.vectors, run.window
    n_articles = len(window.articles.id_map)
    n_reads = np.bincount(window.article_index, minlength=n_articles)[live.live_rows]
    read_share = np.minimum((n_reads + 1.0) / (len(window.users) + 1.0), 1.0)
    # Of millions of terms, the columns that are in use.
    used, column = np.unique(vectors.column, return_inverse=True)
    shape = (n_articles, max(len(used), 1))
    matrix = csr_matrix((vectors.value, column, vectors.start), shape=shape)
    return read_share, n_reads == 0, matrix[live.live_rows]


def _rankings(
    unweighted: LiveModel,
    learned: Mapping[str, Mapping[str, float]],
    user: UserState | None,
    scores: dict[str, NDArray[np.float32]],
    rng: np.random.Generator,
) -> dict[str, Ints]:
    """Return the best live, unread articles of a user by each system, best first.

    Parameters
    ----------
    unweighted
        The live articles, with each signal at weight 1.
    learned
        Weights that were learned, by system.
    user
        The user.
    scores
        Scores of the live articles by other systems.
    rng
        Draws the random system.
    """
    n_live = len(unweighted.live_rows)
    signals = score_parts(unweighted, user, None)
    weights_of_system = {
        **{name: dict.fromkeys(used, 1.0) for name, used in SIGNALS_OF_SYSTEM.items()},
        **{name: {name: 1.0} for name in unweighted.own_names()},
        "hand weights": HAND_WEIGHTS,
        **learned,
    }
    scores = scores | {
        name: total_score(
            {part: weights[part] * values for part, values in signals.items() if part in weights},
            n_live,
        )
        for name, weights in weights_of_system.items()
    }
    scores["random"] = rng.random(n_live).astype(np.float32)
    for values in scores.values():
        if user is not None:
            values[user.read] = -np.inf
    return {name: top_n(values, LIST_LENGTH) for name, values in scores.items()}
