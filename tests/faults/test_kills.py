"""kill -9 at many steps on the disk, and at any moment: nothing is lost, nothing half visible."""

import random
import time

import pytest
from newsroom import copied, killed, killed_after, well
from scenes import SCENES, check, spread, staged

pytestmark = pytest.mark.slow
KILLS = "commands killed"
SOME = 2  # steps a command dies at in the short form
MANY = 8  # the same of the long form, times --scale
AT_RANDOM = 4  # moments a command dies at in the long form, times --scale


@pytest.fixture(scope="module")
def scenes(newsroom, tmp_path_factory):
    """Return by scene the newsroom before its command, and after it as it should be."""
    found = {}

    def scene(name):
        if name not in found:
            before = staged(newsroom, name, tmp_path_factory.mktemp(name))
            after = copied(before, before.parent / "after")
            steps = killed(after, 0, *SCENES[name].command)
            found[name] = before, after, steps
        return found[name]

    return scene


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_some_steps(name, scenes, tmp_path, record_property):
    before, after, n_steps = scenes(name)
    assert n_steps >= 2
    steps = spread(n_steps, SOME)
    for step in steps:
        hurt = copied(before, tmp_path / "hurt")
        killed(hurt, step, *SCENES[name].command)
        check(name, before, after, hurt)
    record_property(KILLS, len(steps))


@pytest.mark.long
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_many_steps(name, scenes, tmp_path, scale, record_property):
    before, after, n_steps = scenes(name)
    steps = spread(n_steps, min(MANY * scale, n_steps))
    for step in steps:
        hurt = copied(before, tmp_path / "hurt")
        killed(hurt, step, *SCENES[name].command)
        check(name, before, after, hurt)
    record_property(KILLS, len(steps))


@pytest.mark.long
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_any_moment(name, scenes, tmp_path, scale, record_property):
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
    record_property(KILLS, n_killed)
