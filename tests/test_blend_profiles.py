import dataclasses
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_pages import profiles_of

from recsys.blend.profiles import (
    Exposures,
    Profile,
    UserStateBuilder,
    advanced,
    empty_profile,
    pack_profiles,
    unpack_profile,
    unpack_profiles,
)
from recsys.published import connection, user_rows
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS
from recsys.signals.event_features import READ_HOURS, SHOWN_HOURS, USER_FEATURES

article_indices = st.lists(st.integers(0, 40), max_size=8, unique=True).map(sorted)


@st.composite
def some_profiles(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        reads, read, exposed = (np.array(draw(article_indices), dtype=np.int64) for _ in range(3))
        found.append(
            Profile(
                draw(st.integers(0, 2**45)),
                rng.random(4, np.float32),
                rng.random(3, np.float32),
                rng.permutation(reads),
                read,
                exposed,
                rng.random((len(USER_FEATURES), len(exposed)), np.float32),
            )
        )
    return found


def assert_same(one, other):
    for field in dataclasses.fields(Profile):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@given(some_profiles())
def test_unpacked_profiles_equal_those_packed_one_or_many_at_once(found):
    packed = pack_profiles(profiles_of(found))
    for data, profile in zip(packed, found, strict=True):
        assert_same(unpack_profile(data, n_factors=4), profile)
    together = unpack_profiles(packed, n_factors=4, n_categories=5)
    assert (together.affinity[:, 3:] == 0).all()  # sections that did not exist yet
    together = dataclasses.replace(together, affinity=together.affinity[:, :3])
    assert pack_profiles(together) == packed


def naive_advanced(profile, clicked, first, shown, *, factors, is_live, as_of_ms, known_reads):
    """Return one user's profile after new events, given as (article, ms) pairs."""
    reads = list(dict.fromkeys([*reversed(clicked), *profile.reads.tolist()]))[:known_reads]
    before = {*profile.read.tolist(), *profile.reads.tolist()}
    counts = {
        article: profile.exposure_counts[:, i]
        * 2.0
        ** (-((as_of_ms - profile.as_of_ms) / HOUR_MS) / np.array([*SHOWN_HOURS, *READ_HOURS]))
        for i, article in enumerate(profile.exposed.tolist())
        if is_live[article]
    }
    views = [pair for pair in shown if is_live[pair[0]]]
    new_reads = [pair for pair in first if is_live[pair[0]] and pair[0] not in before]
    for events, half_lives, begin in (
        (views, SHOWN_HOURS, 0),
        (new_reads, READ_HOURS, len(SHOWN_HOURS)),
    ):
        for article, event_ms in events:
            of_article = counts.setdefault(article, np.zeros(len(USER_FEATURES)))
            for k, half_life in enumerate(half_lives):
                hours = (as_of_ms - event_ms) / HOUR_MS
                of_article[begin + k] += 2.0 ** (-hours / half_life)
    exposed = sorted(counts)
    return Profile(
        as_of_ms,
        factors,
        profile.affinity,
        np.array(reads, dtype=np.int64),
        np.array(sorted({*profile.read.tolist(), *(a for a in clicked if is_live[a])}), np.int64),
        np.array(exposed, dtype=np.int64),
        np.array([counts[article] for article in exposed])
        .reshape(len(exposed), len(USER_FEATURES))
        .T,
    )


@given(some_profiles(), st.data())
def test_many_profiles_advance_as_each_does_alone(found, data):
    now, rng = 2**45 + 5 * HOUR_MS, np.random.default_rng(data.draw(st.integers(0, 2**32)))
    article, ms = st.integers(0, 40), st.integers(2**45, now - 1)
    events_of_each = [
        (
            data.draw(st.lists(article, max_size=5, unique=True)),
            data.draw(st.lists(st.tuples(article, ms), max_size=5, unique_by=lambda e: e[0])),
            data.draw(st.lists(st.tuples(article, ms), max_size=6)),
        )
        for _ in found
    ]
    is_live, factors = rng.random(41) < 0.7, rng.random((len(found), 4), np.float32)
    common = {"is_live": is_live, "as_of_ms": now, "known_reads": 6}

    def columns(which, n_columns):
        rows = [
            (r, *e) if which else (r, e)
            for r, events in enumerate(events_of_each)
            for e in events[which]
        ]
        table = np.array(rows, dtype=np.int64).reshape(len(rows), n_columns)
        return [np.ascontiguousarray(column) for column in table.T]

    together = advanced(
        profiles_of(found),
        tuple(columns(0, 2)),
        Exposures(*columns(1, 3)),
        Exposures(*columns(2, 3)),
        factors=factors,
        **common,
    )
    for row, packed in enumerate(pack_profiles(together)):
        alone = naive_advanced(found[row], *events_of_each[row], factors=factors[row], **common)
        one = unpack_profile(packed, n_factors=4)
        np.testing.assert_allclose(one.exposure_counts, alone.exposure_counts, rtol=1e-5, atol=1e-6)
        assert_same(
            dataclasses.replace(one, exposure_counts=0),
            dataclasses.replace(alone, exposure_counts=0),
        )


def test_exposure_counts_match_hand_arithmetic():
    one, two = np.array([5]), np.array([5, 7])
    is_live = np.ones(9, dtype=bool)
    common = {"factors": np.zeros((1, 2), np.float32), "is_live": is_live, "known_reads": 2}
    zero, nothing = np.array([0]), np.zeros(0, dtype=np.int64)
    # The user is shown article 5 at hour 0 and reads it at hour 11; the counts are of hour 12.
    profiles = advanced(
        empty_profile(2, 1, 0),
        (zero, one),
        Exposures(zero, one, np.array([11 * HOUR_MS])),
        Exposures(zero, one, np.array([0])),
        as_of_ms=12 * HOUR_MS,
        **common,
    )
    shown_1h, shown_12h, ever, read_12h, _ = profiles.exposure_counts[:, 0].tolist()
    assert (shown_1h, shown_12h) == pytest.approx((2**-12, 0.5))
    assert (ever, read_12h) == pytest.approx((2 ** (-12 / 1000), 2 ** (-1 / 12)))
    # Twelve hours later the user has clicked 5 again, which is not a first read, and 7, whose
    # time is unknown.
    later = advanced(
        profiles,
        (np.array([0, 0]), two),
        Exposures(zero, one, np.array([20 * HOUR_MS])),
        Exposures(nothing, nothing, nothing),
        as_of_ms=24 * HOUR_MS,
        **common,
    )
    assert later.exposed.values.tolist() == [5]
    assert later.exposure_counts[3, 0] == pytest.approx(2 ** (-13 / 12))
    assert later.reads.values.tolist() == [7, 5]
    assert later.read.values.tolist() == [5, 7]


def test_articles_that_are_no_longer_live_leave_the_state_of_a_user(refreshed):
    folder, reports, twins = refreshed
    path = published_folder.run_path(folder, reports[0].run_id)
    later = dataclasses.replace(twins[-1].model.page, n_categories=99)  # with new sections
    live, builder = later.live, UserStateBuilder(later)
    with closing(connection.connect(path)) as conn:
        packed = dict(user_rows.load_profiles(conn, path))
    n_left = 0
    for data in packed.values():
        profile = unpack_profile(data, n_factors=live.factors.shape[1])
        user = builder.state_at(data, twins[-1].window.as_of_ms)
        assert np.isin(user.exposed, live.live_rows).all()
        assert len(user.affinity) == 99
        n_left += len(profile.exposed) - len(user.exposed)
    assert n_left > 0
