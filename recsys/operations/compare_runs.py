"""What changed from one run to another."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from recsys.page.build import PageBuilder, unpack_page
from recsys.page.compose import LISTS, slots_of
from recsys.published import folder as published_folder
from recsys.published import run_file

COMPARED = 2000  # readers whose published pages are compared


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed.

    Attributes
    ----------
    same
        Whether every number, article and reader is the same, to the byte.
    came, went
        Ids of articles that became live, and that are no longer.
    readers
        How many were known to the first, and to the second.
    weights : dict of (float, float)
        By name, those that changed.
    front : dict of (list of str, list of str)
        By list, the articles of the front page.
    kept : dict of float
        By list, the share of articles of readers' pages that are still there; of the readers
        both published a page for, the first `COMPARED`.
    n_compared
        How many those were.
    """

    same: bool
    came: list[str]
    went: list[str]
    readers: tuple[int, int]
    weights: dict[str, tuple[float, float]]
    front: dict[str, tuple[list[str], list[str]]]
    kept: dict[str, float]
    n_compared: int


class _Side:
    """One of the runs."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self.path = published_folder.found_path(folder, run_id)
        with closing(run_file.connect(self.path)) as conn:
            self.meta = run_file.load_meta(conn, self.path)
            self.model, _ = run_file.load_model(conn, self.path)
            articles = run_file.load_articles(conn, self.path)
            self.digests = run_file.digests(conn, self.path)
            self.users = run_file.user_ids(conn)
        live = self.model.live.live_rows.tolist()
        self.ids = [articles[row].article_id for row in live]
        self.n_slots = slots_of(self.model.config.n, self.model.config.n_latest)
        built = PageBuilder(self.model).page(None, None, self.n_slots).lists
        self.front = {n: [self.ids[slot.place] for slot in built[n]] for n in LISTS}

    def pages(self, users: Iterable[str]) -> dict[str, dict[str, set[str]]]:
        """Return the articles of published pages, by reader and list."""
        found = {}
        with closing(run_file.connect(self.path)) as conn:
            for user_id in users:
                row = run_file.find_profile(conn, user_id, self.path)
                if row is not None and row[1] is not None:
                    page = unpack_page(row[1], self.n_slots)
                    found[user_id] = {
                        name: {self.ids[slot.place] for slot in slots}
                        for name, slots in page.items()
                    }
        return found


def difference(folder: Path, first: str, second: str, *, other: Path | None = None) -> Difference:
    """Return what changed from one run to another.

    Parameters
    ----------
    folder, first, second
        A published folder and two of its runs, held back ones too.
    other
        The folder of the second, if it is another.

    Raises
    ------
    SnapshotError
        If one is not there or damaged.
    """
    a, b = _Side(folder, first), _Side(other or folder, second)
    both = sorted(a.users & b.users)[:COMPARED]
    before = a.pages(both)
    after = b.pages(before)
    kept = {}
    for name in LISTS:
        shares = [
            len(before[user][name] & page[name]) / len(before[user][name])
            for user, page in after.items()
            if before[user][name]
        ]
        kept[name] = sum(shares) / len(shares) if shares else 1.0
    old, new = structs.asdict(a.meta.weights), structs.asdict(b.meta.weights)
    weights = {name: (old[name], new[name]) for name in old if old[name] != new[name]}
    return Difference(
        same=a.digests == b.digests,
        came=sorted(set(b.ids) - set(a.ids)),
        went=sorted(set(a.ids) - set(b.ids)),
        readers=(a.meta.n_users, b.meta.n_users),
        weights=weights,
        front={name: (a.front[name], b.front[name]) for name in LISTS},
        kept=kept,
        n_compared=len(after),
    )
