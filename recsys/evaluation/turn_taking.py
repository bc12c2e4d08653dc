"""Pages filled by plain turns: the baseline of the assignment."""

from collections.abc import Mapping, Sequence

from recsys.page.compose import LISTS, Ints


def greedy(
    rankings: Mapping[str, Sequence[int]],
    n_slots: Mapping[str, int],
    story: Ints,
    blocked: Ints,
) -> dict[str, list[int]]:
    """Return a page by turns: each list its best free candidate, first places first.

    What the assignment is measured against.

    Parameters
    ----------
    rankings
        Candidates (live places) of each list, best first.
    n_slots
        Slots of each list; a list absent here is not filled.
    story : array of int, shape (n_live,)
        Story of each live article.
    blocked : array of int
        Live places that must not appear, nor any article of their story.
    """
    used = set(story[blocked].tolist())
    story_of = story.tolist()
    chosen: dict[str, list[int]] = {name: [] for name in LISTS if name in n_slots}
    ahead = {name: iter(rankings[name]) for name in chosen}
    for turn in range(max(n_slots.values(), default=0)):
        for name in chosen:
            if turn < n_slots[name]:
                for candidate in ahead[name]:
                    if story_of[candidate] not in used:
                        used.add(story_of[candidate])
                        chosen[name].append(candidate)
                        break
    return chosen
