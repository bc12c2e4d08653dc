"""kill -9 at every step on the disk, and at any moment: nothing is lost, nothing half visible."""

import json
import random
import time
from dataclasses import dataclass

import pytest
from newsroom import (
    AS_OF,
    BOTH,
    NIGHT,
    STORE,
    at,
    content,
    copied,
    killed,
    killed_after,
    left_over,
    page_of,
    run,
    served,
    well,
)

from recsys import Recommender
from recsys.published import folder as published_folder

pytestmark = pytest.mark.slow
SOME = 2  # steps a command dies at in the short form; the long one takes all of them
AT_RANDOM = 4  # moments a command dies at in the long form, times --scale


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
    "forget": Scene((), ("forget", "u0100", *BOTH)),
}


@pytest.fixture(scope="module")
def scenes(newsroom, tmp_path_factory):
    """Return by scene the newsroom before its command, and after it as it should be."""
    found = {}

    def scene(name):
        if name not in found:
            before = copied(newsroom, tmp_path_factory.mktemp(name) / "before")
            for command in SCENES[name].before:
                well(before, *command)
            if name == "publish":
                assert run(before, *NIGHT, at(72)).status == 3  # four live articles: held back
            after = copied(before, before.parent / "after")
            steps = killed(after, 0, *SCENES[name].command)
            found[name] = before, after, steps
        return found[name]

    return scene


def rules_of(folder):
    path = folder / "p" / published_folder.RULES
    return json.loads(path.read_text()) if path.exists() else []


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
    assert left_over(hurt) == []


def spread(n, most):
    """Return some of 1 to n, the first and the last among them."""
    return sorted({1 + i * (n - 1) // (most - 1) for i in range(most)})


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_some_steps(name, scenes, tmp_path):
    before, after, n_steps = scenes(name)
    assert n_steps >= 2
    for step in spread(n_steps, SOME):
        hurt = copied(before, tmp_path / "hurt")
        killed(hurt, step, *SCENES[name].command)
        check(name, before, after, hurt)


@pytest.mark.long
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_step(name, scenes, tmp_path, record_property):
    before, after, n_steps = scenes(name)
    for step in range(1, n_steps + 1):
        hurt = copied(before, tmp_path / "hurt")
        killed(hurt, step, *SCENES[name].command)
        check(name, before, after, hurt)
    print(f"{name}: killed at each of {n_steps} steps")


@pytest.mark.long
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_any_moment(name, scenes, tmp_path, scale):
    before, after, _ = scenes(name)
    rng = random.Random(name)
    hurt = copied(before, tmp_path / "hurt")
    start = time.perf_counter()
    well(hurt, *SCENES[name].command)
    longest = time.perf_counter() - start
    n_killed = 0
    while n_killed < AT_RANDOM * scale:
        hurt = copied(before, tmp_path / "hurt")
        if killed_after(hurt, rng.uniform(0.2, 1.0) * longest, *SCENES[name].command):
            n_killed += 1
            check(name, before, after, hurt)
        else:
            longest *= 0.9  # the machine was busier then
