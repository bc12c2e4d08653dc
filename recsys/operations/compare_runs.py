"""Compare two runs: articles, users, weights, the front page, the pages of users."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from recsys.page.build import PageBuilder
from recsys.page.slots import Slot, unpack_page
from recsys.published import folder as published_folder
from recsys.published import run_file, user_rows
from recsys.published.connection import connect, reading

MAX_USERS = 2000  # users whose published pages are compared


@dataclass(frozen=True, slots=True)
class RunDifference:
    """What changed from a first run to a second one.

    Attributes
    ----------
    is_same
        Whether every number, article and user is the same, to the byte.
    added, removed
        Ids of the articles that are live only in the second run, and only in the first.
    n_users
        How many users the first and the second run know.
    weights : dict of (float, float)
        The weights that differ, by name: in the first and in the second run.
    titles
        Of the lists that both runs have, by name.
    front_page : dict of (list of str, list of str)
        Article ids of the front page, by list: in the first and in the second run.
    share_kept : dict of float
        By list, the share of the articles on users' pages that are in the same list of the
        second run. Of the users with a published page in both runs, the first `MAX_USERS` count.
    n_compared
        How many users those are.
    """

    is_same: bool
    added: list[str]
    removed: list[str]
    n_users: tuple[int, int]
    weights: dict[str, tuple[float, float]]
    titles: dict[str, str]
    front_page: dict[str, tuple[list[str], list[str]]]
    share_kept: dict[str, float]
    n_compared: int


class _OpenedRun:
    """One of the two runs."""

    def __init__(self, folder: Path, run_id: str, run_key: bytes | None) -> None:
        self._run_key = run_key
        self.path = published_folder.found_path(folder, run_id)
        with closing(connect(self.path, self._run_key)) as conn:
            self.meta = run_file.load_meta(conn, self.path)
            model, _ = run_file.load_model(conn, self.path)
            articles = run_file.load_articles(conn, self.path)
            self.digests = run_file.digests(conn, self.path)
            self.user_ids = user_rows.user_ids(conn)
        self.live_ids = [articles[row].article_id for row in model.live.live_rows.tolist()]
        self._n_known = len(articles)
        builder = PageBuilder(model)
        self.layout = builder.layout(None, has_context=False)
        lists = builder.page(None, None, self.layout).lists
        self.front_page = {name: self._ids(slots) for name, slots in lists.items()}

    def _ids(self, slots: Iterable[Slot]) -> list[str]:
        return [self.live_ids[slot.live_index] for slot in slots]

    def pages(self, user_ids: Iterable[str]) -> dict[str, dict[str, set[str]]]:
        """Return the article ids of published pages, by user and list."""
        pages = {}
        n_live = len(self.live_ids)
        with closing(connect(self.path, self._run_key)) as conn, reading(self.path):
            for user_id in user_ids:
                row = user_rows.find_profile(conn, user_id, self.path)
                if row is not None and row[1] is not None:
                    page = unpack_page(row[1], self.layout, n_live=n_live, n_known=self._n_known)
                    pages[user_id] = {name: set(self._ids(slots)) for name, slots in page.items()}
        return pages


def compare_runs(
    folder: Path,
    first: str,
    second: str,
    *,
    second_folder: Path | None = None,
    run_key: bytes | None = None,
) -> RunDifference:
    """Return what changed from one run to another.

    Parameters
    ----------
    folder
        A published folder.
    first, second
        Ids of two of its runs; a run that was held back will do.
    second_folder
        The folder of the second run, if it is another one.
    run_key
        The key by which both runs must be signed; None if they need not be.

    Raises
    ------
    SnapshotError
        If a run is not there or damaged.
    """
    a = _OpenedRun(folder, first, run_key)
    b = _OpenedRun(second_folder or folder, second, run_key)
    before = a.pages(sorted(a.user_ids & b.user_ids)[:MAX_USERS])
    after = b.pages(before)
    share_kept = {}
    names = [name for name in a.layout.names if name in b.layout.names]
    for name in names:
        shares = [
            len(before[user_id][name] & page[name]) / len(before[user_id][name])
            for user_id, page in after.items()
            if before[user_id][name]
        ]
        share_kept[name] = sum(shares) / len(shares) if shares else 1.0
    old, new = a.meta.weights, b.meta.weights
    return RunDifference(
        is_same=a.digests == b.digests,
        added=sorted(set(b.live_ids) - set(a.live_ids)),
        removed=sorted(set(a.live_ids) - set(b.live_ids)),
        n_users=(a.meta.n_users, b.meta.n_users),
        weights={n: (old[n], new[n]) for n in old if n in new and old[n] != new[n]},
        titles={of.name: of.title() for of in a.layout.lists if of.name in names},
        front_page={name: (a.front_page[name], b.front_page[name]) for name in names},
        share_kept=share_kept,
        n_compared=len(after),
    )
