"""Commands that change a newsroom, and what must hold of it after one of them was cut short."""

import json
from dataclasses import dataclass
from pathlib import Path

from newsroom import (
    AS_OF,
    BOTH,
    NIGHT,
    STORE,
    at,
    content,
    copied,
    left_over,
    page_of,
    run,
    served,
    well,
)

from recsys import Recommender
from recsys.published import folder as published_folder

FORGOTTEN = "u0100"  # the user of the scene "forget"


@dataclass(frozen=True)
class Scene:
    """A command, and what must come before it."""

    before: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]


INGEST = ("ingest", "later.articles.jsonl", "later.clicks.csv", *STORE)
SCENES = {
    "ingest": Scene((), INGEST),
    "nightly": Scene((INGEST,), (*NIGHT, at(2))),
    "refresh": Scene((INGEST,), ("refresh", *BOTH, "--as-of", at(2))),
    "publish": Scene((), ("publish", "000003-20260305T060000Z", *BOTH, "--force", "--reason", "x")),
    "rollback": Scene((), ("rollback", "--published", "p")),
    "rules": Scene(
        (), ("rules", "add", "block", "a0031", *BOTH, "--author", "jo", "--reason", "wrong")
    ),
    "audience": Scene((), ("audience", "a0133", *BOTH, "--as-of", at(0), "--to", "push.csv")),
    "forget": Scene((), ("forget", FORGOTTEN, *BOTH)),
}


def staged(newsroom: Path, name: str, folder: Path) -> Path:
    """Return a copy of a newsroom in which all is done that comes before the command of a scene."""
    before = copied(newsroom, folder / "before")
    for command in SCENES[name].before:
        well(before, *command)
    if name == "publish":
        assert run(before, *NIGHT, at(72)).status == 3  # four live articles: held back
    return before


def rules_of(folder):
    path = folder / "p" / published_folder.RULES
    return json.loads(path.read_text()) if path.exists() else []


def files_with(user, folder):
    """Return the files of the store and of the runs that have the bytes of a user's id."""
    paths = [*folder.glob("s.db*"), *(folder / "p").iterdir()]
    return [path.name for path in paths if user.encode() in path.read_bytes()]


def check(name, before, after, hurt):
    """A newsroom whose command died serves a whole page, lost nothing, and goes on by itself."""
    user = "u0007"
    assert page_of(hurt, user) in (page_of(before, user), page_of(after, user))
    assert Recommender(hurt / "p").health(as_of=AS_OF).problems == ()
    had, has, will = content(before), content(hurt), content(after)
    if name != "forget":
        for table, rows in had.items():
            assert set(rows) <= set(has[table]) <= set(will[table])
            assert len(set(has[table])) == len(has[table])
    if name == "rules":  # to add a rule again is another rule: the book must only be whole
        well(hurt, "rules", "list", *BOTH)
        well(hurt, "rules", "export", *BOTH, "--to", "rules.json")
        assert len(json.loads((hurt / "rules.json").read_text())) == len(rules_of(hurt)) < 2
    elif name == "rollback" and page_of(hurt, user) == page_of(after, user):
        pass  # done; once more would go back one more
    else:
        again = run(hurt, *SCENES[name].command)
        if name == "forget" and again.status == 1:
            assert "no such user" in again.said  # the user was deleted before
        else:
            assert again.status == 0, again.said
        assert content(hurt) == will
        assert served(hurt) == served(after)
        assert page_of(hurt, user)[1:] == page_of(after, user)[1:]
        if name == "forget":
            assert files_with(FORGOTTEN, hurt) == []
    assert left_over(hurt) == []


def spread(n, most):
    """Return some of 1 to n, the first and the last among them."""
    return sorted({1 + i * (n - 1) // (most - 1) for i in range(most)})
