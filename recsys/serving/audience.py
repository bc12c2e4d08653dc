"""The users who are likeliest to click one article, for a newsletter or a push message.

All profiles of the run are scored, in blocks, so the answer is exact and takes little memory.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

import numpy as np

from recsys.blend.audience import AudienceScorer
from recsys.blend.live_model import UserState
from recsys.errors import ArticleError, SnapshotError
from recsys.page.reasons import reason_in
from recsys.page.rules import EVERY, Editorial, Resolved
from recsys.published.run_file import load_bots
from recsys.published.user_rows import find_profile, profile_blocks
from recsys.serving.connections import Connections
from recsys.serving.loaded_run import ENGLISH, LoadedRun

Scored = tuple[float, str]  # a score, and the user id

BLOCK = 1024  # profiles scored at once: more leave the processor's cache


@dataclass(frozen=True, slots=True)
class ChosenUser:
    """A user who is likely to click an article.

    Attributes
    ----------
    user_id
        As in the store: a hash in a store of hashed ids.
    score
        Logarithm of expected clicks, up to a number that is the same for all users: comparable
        within one audience only. See `recsys.blend.audience`.
    reason, reason_code
        Why the article is for this user, in the language of the audience, and as a code; see
        `recsys.page.reasons.REASONS`.
    reason_values
        What the reason names, such as the title of an article that the user read.
    """

    user_id: str
    score: float
    reason: str
    reason_code: str
    reason_values: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Audience:
    """The users likeliest to click an article.

    Attributes
    ----------
    run_id
        The run whose profiles were scored.
    article_id
        The article, spelled as in the store.
    language
        Of the reasons.
    users
        The likeliest first, ties by user id.
    """

    run_id: str
    article_id: str
    language: str
    users: tuple[ChosenUser, ...]


def choose_users(
    run: LoadedRun,
    rules: Resolved,
    article_id: str,
    n: int,
    exclude: Set[str],
    language: str | None,
    now_ms: int,
) -> tuple[Audience, str]:
    """Return the users of a run who are likeliest to click an article.

    Left out are users who have read the article or another one of its story, bots, and those of
    `exclude`. Anonymous users have no profile.

    Parameters
    ----------
    run, rules
        The run, and the rules resolved against it.
    article_id, n
        The article, and how many users; all where there are fewer.
    exclude
        Ids of users to leave out.
    language
        Of the reasons; None for that of a front page or, if the settings name none for it, of the
        article, and else of the site.
    now_ms
        Rules and dates of articles are those of this instant.

    Returns
    -------
    audience
        The users.
    problem
        What is damaged in a profile whose user is left out for it; "" for nothing.

    Raises
    ------
    ArticleError
        If the run does not know the article, or it may not be recommended now.
    SnapshotError
        If the run is damaged so that its users cannot be read.
    """
    live_index, editorial = _recommendable(run, rules, article_id, now_ms)
    layout, hidden = run.builder.layout(None, has_context=False), run.hidden(now_ms)
    language = (
        language or run.builder.rankings.language_of(layout, run.known[article_id]) or ENGLISH
    )
    with run.connections.connected() as conns:
        best, states, problem = _best_sound(run, conns, live_index, n, exclude)
    users = []
    for (score, user_id), user in zip(best, states, strict=True):
        trace = run.trace(user, None, layout, hidden.live, rules, editorial, language, hidden.known)
        code, value = run.reason_for(trace, user, live_index)
        text, named = reason_in(language, code, value)
        users.append(ChosenUser(user_id, round(score, 4), text, code, dict(named)))
    return Audience(run.meta.run_id, article_id, language, tuple(users)), problem


def _recommendable(
    run: LoadedRun, rules: Resolved, article_id: str, now_ms: int
) -> tuple[int, Editorial]:
    """Return the live index of an article that may be recommended now, and the rules in force.

    Raises
    ------
    ArticleError
        If it may not.
    """
    run_id, known = run.meta.run_id, run.known.get(article_id)
    if known is None:
        raise ArticleError(
            f"{run_id} does not know the article {article_id!r}: check the id; a new article is"
            " known after `recsys ingest` and `recsys refresh`"
        )
    if run.hidden(now_ms).known[known]:
        raise ArticleError(
            f"the article {article_id!r} may not be shown now: it has expired, was withdrawn, is"
            " not published yet or has no title; `recsys ingest` and `recsys refresh` correct it"
        )
    live_index = int(run.model.live.live_index_of([known])[0])
    if live_index < 0:
        raise ArticleError(
            f"the article {article_id!r} is no longer live in {run_id}: it is too old to be"
            " recommended; `recsys rules add pin` and `recsys refresh` keep an article live"
        )
    editorial = rules.at(now_ms, None)
    barred = editorial.barred.get(EVERY)
    if barred is not None and barred[live_index]:
        raise ArticleError(
            f"an editors' rule keeps the article {article_id!r} from every page: see"
            " `recsys rules list`; `recsys rules end RULE` ends a rule"
        )
    return live_index, editorial


def _best_sound(
    run: LoadedRun, conns: Connections, live_index: int, n: int, exclude: Set[str]
) -> tuple[list[Scored], list[UserState], str]:
    """Return the `n` best scores of users, their states, and what is damaged of other users.

    The digest of every chosen user is checked. A user whose row is damaged is left out.
    """
    scorer = AudienceScorer(run.model, live_index)
    left_out, problem = {*exclude, *load_bots(*conns[0])}, ""
    while True:
        best, damage = _best(conns, scorer, n, left_out)
        states, damaged = [], set()
        for _, user_id in best:
            try:
                states.append(run.users.state(_profile(conns, user_id)))
            except SnapshotError as error:
                damaged.add(user_id)
                damage = str(error)
        problem = problem or damage
        if not damaged:
            return best, states, problem
        left_out |= damaged  # others take their places


def _best(
    conns: Connections, scorer: AudienceScorer, n: int, left_out: Set[str]
) -> tuple[list[Scored], str]:
    """Return the `n` best scores of users, best first, ties by user id; and what is damaged."""
    found: list[Scored] = []  # scores negated, so that the best sort first
    least, damage = -np.inf, ""
    refreshed: set[str] = set()  # a refresh has newer profiles of some users of its base run
    for conn, path in conns:
        newer = refreshed.copy()
        for block in profile_blocks(conn, path, BLOCK):
            scores = scorer.scores([profile for _, profile in block])
            if np.isnan(scores).any():
                damage = f"{path}: damaged: the profile of a user; `recsys rollback`"
            for i in np.flatnonzero((scores >= least) & (scores > -np.inf)).tolist():
                user_id = block[i][0]
                if user_id not in newer and user_id not in left_out:
                    found.append((-float(scores[i]), user_id))
            if len(found) > 2 * n + BLOCK:
                found.sort()
                del found[n:]
                least = -found[-1][0]
            if conn is not conns[-1][0]:
                refreshed.update(user_id for user_id, _ in block)
    found.sort()
    return [(-negated, user_id) for negated, user_id in found[:n]], damage


def _profile(conns: Connections, user_id: str) -> bytes:
    """Return the profile of a user; the file that comes first has the newest.

    Raises
    ------
    SnapshotError
        If it is damaged.
    """
    rows = (find_profile(conn, user_id, path) for conn, path in conns)
    found = next((row for row in rows if row is not None), None)
    if found is None:
        raise SnapshotError(f"{conns[0][1]}: damaged: its users; `recsys rollback`")
    return found[0]
