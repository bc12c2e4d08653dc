"""Compare a refresh with its naive twin, which computes every user from the whole store."""

import dataclasses
from contextlib import closing

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND, LISTS, current_run, user_state
from hypothesis import given
from hypothesis import strategies as st

from recsys.blend.profiles import (
    Exposures,
    Parts,
    Profile,
    Profiles,
    UserStateBuilder,
    advanced,
    empty_profile,
    pack_profiles,
    unpack_profile,
    unpack_profiles,
)
from recsys.config import PublishConfig, TextConfig
from recsys.errors import NotPublishedError, SnapshotError, StoreError
from recsys.learn.past_runs import PastRuns
from recsys.nightly.run import run_nightly
from recsys.operations.export_rows import export_rows
from recsys.published import connection, run_file, user_rows
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, from_ms, to_ms
from recsys.serving.recommender import Recommender
from recsys.signals import text
from recsys.signals.event_features import READ_HOURS, SHOWN_HOURS, USER_FEATURES
from recsys.store.database import Store

HOURS = (12, 7, 0)  # before the end of the sample: a nightly run, and two refreshes


@pytest.fixture(scope="module")
def refreshed(sample, tmp_path_factory):
    """A folder with a nightly run and two refreshes, and the twin of each."""
    folder = tmp_path_factory.mktemp("refreshed")
    instants = [to_ms(sample.as_of) - hours * HOUR_MS for hours in HOURS]
    with Store(sample.store) as store:
        reports = [
            run_nightly(store, folder, as_of_ms=at, config=BY_HAND, kind=kind)
            for at, kind in zip(instants, ("nightly", "refresh", "refresh"), strict=True)
        ]
        past = PastRuns(store, BY_HAND)
        twins = [past.nightly(instants[0], instants[0])]
        for at in instants[1:]:
            twins.append(past.refresh(twins[-1], at, at))
    return folder, reports, twins


def loaded(folder, run_id):
    """Return the models of a run, the ids of its known articles, and what it carries over."""
    path = published_folder.run_path(folder, run_id)
    with closing(connection.connect(path)) as conn:
        ids = run_file.load_articles(conn, path).column("article_id")
        return run_file.load_model(conn, path), ids, run_file.load_carry(conn, path)


def model_arrays(page, rank, carry):
    """Return the arrays of a run by name, without the curves."""
    rank = dataclasses.replace(rank, curves={}, refresh_curves={})
    return run_file.arrays_of(page, rank, carry)


def arrays_of(folder, run_id):
    (page, rank), _, carry = loaded(folder, run_id)
    return model_arrays(page, rank, carry)


def test_articles_are_those_of_the_twin(refreshed):
    folder, reports, twins = refreshed
    for report, twin in zip(reports, twins, strict=True):
        expected = model_arrays(twin.model.page, twin.model.rank, twin.model.carry)
        found = arrays_of(folder, report.run_id)
        assert found.keys() == expected.keys()
        for name, values in found.items():
            np.testing.assert_allclose(values, expected[name], rtol=2e-5, atol=1e-6, err_msg=name)


def test_every_user_is_that_of_the_twin(refreshed):
    folder, reports, twins = refreshed
    for report, twin in zip(reports, twins, strict=True):
        published_folder.publish(folder, report.run_id)
        run, users = current_run(folder), twin.model.users
        assert run.meta.n_users == len(users.user_ids)
        for user_index, user_id in enumerate(users.user_ids):
            found, expected = user_state(run, user_id), users.state(user_index)
            for field in dataclasses.fields(expected):
                np.testing.assert_allclose(
                    getattr(found, field.name),
                    getattr(expected, field.name),
                    rtol=2e-4,
                    atol=1e-5,
                    err_msg=f"{user_id} {field.name}",
                )


def test_recommend_after_a_refresh_is_a_full_scoring_by_the_same_model(refreshed):
    folder, reports, twins = refreshed
    published_folder.publish(folder, reports[-1].run_id)
    recommender, model = Recommender(folder), twins[-1].model
    builder = current_run(folder).builder
    layout = builder.layout(None, has_context=False)
    as_of = from_ms(twins[-1].window.as_of_ms)
    for user_index, user_id in list(enumerate(model.users.user_ids))[::10]:
        full = builder.page(model.users.state(user_index), None, layout).lists
        served = recommender.recommend(user_id, as_of=as_of)
        for name in LISTS:
            expected = [model.articles[model.page.live.live_rows[s.live_index]] for s in full[name]]
            assert [slot.article_id for slot in served[name]] == [a.article_id for a in expected]


def test_a_refresh_is_exported_with_every_user(refreshed):
    folder, reports, twins = refreshed
    published_folder.publish(folder, reports[-1].run_id)
    as_of = from_ms(twins[-1].window.as_of_ms)
    rows = list(export_rows(folder, as_of=as_of))
    assert {row[2] for row in rows} - {None} == set(twins[-1].model.users.user_ids)
    assert {row[0] for row in rows} == {"user", "anonymous", "article"}


def test_only_users_with_new_events_are_written(refreshed):
    folder, reports, _ = refreshed
    n_users, nightly_runs = [], []
    for report in reports:
        path = published_folder.run_path(folder, report.run_id)
        with closing(connection.connect(path)) as conn:
            n_users.append(len(user_rows.user_ids(conn)))
            nightly_runs.append(run_file.load_meta(conn, path).base)
    assert 0 < n_users[1] < n_users[2] < n_users[0]  # the second has the users of the first too
    assert nightly_runs == [None, reports[0].run_id, reports[0].run_id]


def test_new_articles_get_neighbours_and_factors_from_users(refreshed):
    folder, reports, _ = refreshed
    _, ids, _ = loaded(folder, reports[0].run_id)
    (after, _), ids_after, carry = loaded(folder, reports[2].run_id)
    n_before, live = len(ids), after.live
    assert len(ids_after) > n_before
    assert carry.live_since.any()
    assert live.warm[carry.live_since].any()  # enough users have read them
    new_rows = live.live_rows[live.live_rows >= n_before]
    start = live.similar.start
    assert all(start[row + 1] > start[row] for row in new_rows)
    new_live = np.flatnonzero(live.live_rows >= n_before)
    assert np.isin(new_live, live.similar.column[: start[n_before]]).all()


def test_a_refresh_with_nothing_new_changes_nothing(sample, tmp_path):
    with Store(sample.store) as store:
        at = to_ms(sample.as_of)
        runs = [
            run_nightly(store, tmp_path, as_of_ms=at, config=BY_HAND, kind=kind)
            for kind in ("nightly", "refresh", "refresh")
        ]
    nightly, *refreshes = (arrays_of(tmp_path, run.run_id) for run in runs)
    for found in refreshes:
        for name, values in nightly.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    pages = []
    for run in runs:
        published_folder.publish(tmp_path, run.run_id)
        recommender = Recommender(tmp_path)
        requests = [(None, None), ("u0007", None), ("u0007", "a0030"), (None, "a0045")]
        pages.append([dict(recommender.recommend(*r, as_of=sample.as_of)) for r in requests])
    ids = [
        [[slot.article_id for slots in page.values() for slot in slots] for page in run]
        for run in pages
    ]
    assert ids[0] == ids[1] == ids[2]


def test_neighbours_of_new_articles_are_exact_with_the_term_weights_of_the_nightly_run(
    sample, tmp_path
):
    """A refresh multiplies only the terms of new articles; the test multiplies all terms."""
    at = to_ms(sample.as_of)
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=at - hours * HOUR_MS, config=BY_HAND, kind=kind)
            for hours, kind in ((72, "nightly"), (0, "refresh"))
        ]
        (page, _), ids, carry = loaded(tmp_path, runs[1].run_id)
        known = store.articles(known_by_ms=2**60).id_map
        keys = known.keys[[known.ids.index(id_) for id_ in ids]]
        counts = store.derived.text_vectors(keys.tolist(), len(carry.n_having))
    n_before, live = len(loaded(tmp_path, runs[0].run_id)[1]), page.live.live_rows
    assert carry.n_trained == n_before < len(ids) - 5
    vectors = text.tfidf(counts, text.idf(carry.n_having, carry.n_trained))
    cosine = (vectors @ vectors[live].T).toarray()
    cosine[live, np.arange(len(live))] = 0.0  # an article is not its own neighbour
    for row in range(n_before, len(ids)):
        column, value = page.live.similar.row(row)
        is_full = len(column) == BY_HAND.text.n_similar
        least = value.min() if is_full else BY_HAND.text.min_similarity
        assert set(column.tolist()) >= set(np.flatnonzero(cosine[row] > least + 1e-5).tolist())
        np.testing.assert_allclose(value, cosine[row, column], rtol=1e-4, atol=1e-6)
        assert len(column) > 0
    for live_index in np.flatnonzero(live >= n_before).tolist():
        for row in range(n_before):  # known articles have new ones as neighbours, too
            column, value = page.live.similar.row(row)
            expected = cosine[row, live_index]
            if live_index in column:
                assert value[column == live_index] == pytest.approx(expected, abs=1e-5)
            elif len(column) < BY_HAND.text.n_similar:
                assert expected < BY_HAND.text.min_similarity + 1e-5


def test_a_refresh_needs_a_current_run_that_is_neither_later_nor_too_old(sample, tmp_path):
    at = to_ms(sample.as_of)
    options = {"config": BY_HAND, "kind": "refresh"}
    with Store(sample.store) as store:
        with pytest.raises(NotPublishedError):
            run_nightly(store, tmp_path, as_of_ms=at, **options)
        run_nightly(store, tmp_path, as_of_ms=at, config=BY_HAND)
        fewer = msgspec.structs.replace(BY_HAND, text=TextConfig(n_features=2**20))
        with pytest.raises(SnapshotError, match=r"n_features = 4194304.*recsys nightly"):
            run_nightly(store, tmp_path, as_of_ms=at, config=fewer, kind="refresh")
        with pytest.raises(SnapshotError, match="after this refresh"):
            run_nightly(store, tmp_path, as_of_ms=at - 1, **options)
        with pytest.raises(SnapshotError, match=r"more than 8 days before.*recsys nightly"):
            run_nightly(store, tmp_path, as_of_ms=at + 9 * 24 * HOUR_MS, **options)


def test_a_refresh_from_another_store_is_refused(sample, tmp_path):
    at = to_ms(sample.as_of)
    with Store(sample.store) as store:
        run_nightly(store, tmp_path, as_of_ms=at, config=BY_HAND)
    with Store(tmp_path / "empty.db") as empty, pytest.raises(StoreError, match="another store"):
        run_nightly(empty, tmp_path, as_of_ms=at, config=BY_HAND, kind="refresh")


def test_the_nightly_run_of_a_refresh_is_never_pruned(sample, tmp_path):
    config = msgspec.structs.replace(BY_HAND, publish=PublishConfig(keep_runs=1))
    at = to_ms(sample.as_of)
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=at, config=config, kind=kind).run_id
            for kind in ("nightly", "refresh", "refresh")
        ]
        assert published_folder.run_ids(tmp_path) == [runs[0], runs[2]]
        assert Recommender(tmp_path).recommend("u0007", as_of=sample.as_of)["must_reads"]
        published_folder.run_path(tmp_path, runs[0]).unlink()
        with pytest.raises(SnapshotError, match="not there any more"):
            published_folder.publish(tmp_path, runs[2])


article_indices = st.lists(st.integers(0, 40), max_size=8, unique=True).map(sorted)


def profiles_of(found):
    """Return single profiles as the arrays of many."""

    def parts(name):
        values = [getattr(profile, name) for profile in found]
        return Parts(np.cumsum([0, *map(len, values)]), np.concatenate(values))

    return Profiles(
        np.array([profile.as_of_ms for profile in found]),
        np.array([profile.factors for profile in found]),
        np.array([profile.affinity for profile in found]),
        parts("reads"),
        parts("read"),
        parts("exposed"),
        np.concatenate([profile.exposure_counts for profile in found], axis=1),
    )


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
