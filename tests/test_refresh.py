"""A refresh, against its naive twin: every reader worked out anew from the whole store."""

import dataclasses
from contextlib import closing, nullcontext

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND
from hypothesis import given
from hypothesis import strategies as st

from recsys.blend.curves import READ_HOURS, SHOWN_HOURS, USER_FEATURES
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
from recsys.errors import NotPublishedError, SnapshotError
from recsys.learn.examples import Past
from recsys.nightly.run import run_nightly
from recsys.operations.export_rows import export_rows
from recsys.page.compose import LISTS, slots_of
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.rows import HOUR_MS, from_ms, to_ms
from recsys.serving.recommender import Recommender
from recsys.signals import text
from recsys.store.database import Store
from recsys.training.train import user_state_of

HOURS = (12, 7, 0)  # before the sample's end: a night, and two refreshes one after the other


def quiet(stage):
    return nullcontext()


@pytest.fixture(scope="module")
def refreshed(sample, tmp_path_factory):
    """A folder with a night and two refreshes, and the twin's model after each."""
    folder = tmp_path_factory.mktemp("refreshed")
    instants = [to_ms(sample.as_of) - hours * HOUR_MS for hours in HOURS]
    with Store(sample.store) as store:
        reports = [
            run_nightly(store, folder, as_of_ms=at, config=BY_HAND, kind=kind)
            for at, kind in zip(instants, ("nightly", "refresh", "refresh"), strict=True)
        ]
        past = Past(store, BY_HAND)
        twins = [past.window(instants[0], instants[0])]
        for at in instants[1:]:
            twins.append(past.refreshed(twins[-1], at, at))
    return folder, reports, twins


def loaded(folder, run_id):
    """A run's models, ids of known articles, and what it carries."""
    path = published_folder.run_path(folder, run_id)
    with closing(run_file.connect(path)) as conn:
        ids = run_file.load_articles(conn, path).column("article_id")
        return run_file.load_model(conn, path), ids, run_file.load_carry(conn, path)


def arrays_of(path):
    with closing(run_file.connect(path)) as conn:
        page, rank = run_file.load_model(conn, path)
        carry = run_file.load_carry(conn, path)
        found = run_file._arrays_of(page, rank, carry)
    return {name: found[name] for name in found if not name.startswith(("curve", "refresh"))}


def test_articles_are_as_the_twin_has_them(refreshed):
    folder, reports, twins = refreshed
    for report, twin in zip(reports, twins, strict=True):
        model = twin.model
        wanted = run_file._arrays_of(model.page, model.rank, model.carry)
        for name, found in arrays_of(published_folder.run_path(folder, report.run_id)).items():
            np.testing.assert_allclose(found, wanted[name], rtol=2e-5, atol=1e-6, err_msg=name)


def test_every_reader_is_as_the_twin_has_them(refreshed):
    folder, reports, twins = refreshed
    for report, twin in zip(reports, twins, strict=True):
        published_folder.publish(folder, report.run_id)
        recommender = Recommender(folder)
        run = recommender._run
        assert run.meta.n_users == len(twin.model.readers.user_ids)
        for row, user_id in enumerate(twin.model.readers.user_ids):
            found = recommender._reader(run, user_id)
            wanted = user_state_of(twin.model.readers, row)
            for field in dataclasses.fields(wanted):
                np.testing.assert_allclose(
                    getattr(found, field.name),
                    getattr(wanted, field.name),
                    rtol=2e-4,
                    atol=1e-5,
                    err_msg=f"{user_id} {field.name}",
                )


def test_recommend_after_a_refresh_is_a_full_scoring_by_the_same_model(refreshed):
    folder, reports, twins = refreshed
    published_folder.publish(folder, reports[-1].run_id)
    recommender, model = Recommender(folder), twins[-1].model
    builder = recommender._run.builder
    n_slots = slots_of(5, 6)
    at = twins[-1].window.as_of_ms
    for row, user_id in list(enumerate(model.readers.user_ids))[::10]:
        full = builder.page(user_state_of(model.readers, row), None, n_slots).lists
        served = recommender.recommend(user_id, as_of=from_ms(at))
        for name in LISTS:
            wanted = [model.articles[model.page.live.live_rows[s.place]] for s in full[name]]
            assert [slot.article_id for slot in served[name]] == [a.article_id for a in wanted]


def test_a_refresh_is_exported_with_every_reader_in_it(refreshed):
    folder, reports, twins = refreshed
    published_folder.publish(folder, reports[-1].run_id)
    rows = list(export_rows(folder))
    assert {row[2] for row in rows} - {None} == set(twins[-1].model.readers.user_ids)
    assert {row[0] for row in rows} == {"reader", "anonymous", "article"}


def test_only_readers_of_whom_something_came_are_written(refreshed):
    folder, reports, _ = refreshed
    sizes, bases = [], []
    for report in reports:
        path = published_folder.run_path(folder, report.run_id)
        with closing(run_file.connect(path)) as conn:
            sizes.append(conn.execute("SELECT count(*) FROM readers").fetchone()[0])
            bases.append(run_file.load_meta(conn, path).base)
    assert 0 < sizes[1] < sizes[2] < sizes[0]  # the second holds those of the first too
    assert bases == [None, reports[0].run_id, reports[0].run_id]


def test_new_articles_get_neighbours_and_factors_from_readers(refreshed):
    folder, reports, _ = refreshed
    before, after = (
        arrays_of(published_folder.run_path(folder, r.run_id)) for r in (reports[0], reports[2])
    )
    n_before = len(before["written_ms"])
    since = after["carry.live_since"]
    assert len(after["written_ms"]) > n_before
    assert since.any()
    assert after["warm"][since].any()  # found their readers
    new_rows = after["live_rows"][after["live_rows"] >= n_before]
    start = after["similar.start"]
    assert all(start[row + 1] > start[row] for row in new_rows)
    new_places = np.flatnonzero(after["live_rows"] >= n_before)
    assert np.isin(new_places, after["similar.column"][: start[n_before]]).all()


def test_a_refresh_with_nothing_new_changes_nothing(sample, tmp_path):
    with Store(sample.store) as store:
        at = to_ms(sample.as_of)
        runs = [
            run_nightly(store, tmp_path, as_of_ms=at, config=BY_HAND, kind=kind)
            for kind in ("nightly", "refresh", "refresh")
        ]
    paths = [published_folder.run_path(tmp_path, run.run_id) for run in runs]
    window, *refreshes = (arrays_of(path) for path in paths)
    for found in refreshes:
        for name, values in window.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    pages = []
    for run in runs:
        published_folder.publish(tmp_path, run.run_id)
        recommender = Recommender(tmp_path)
        asked = [(None, None), ("u0007", None), ("u0007", "a0030"), (None, "a0045")]
        pages.append([dict(recommender.recommend(*who, as_of=sample.as_of)) for who in asked])
    ids = [
        [[slot.article_id for slots in page.values() for slot in slots] for page in run]
        for run in pages
    ]
    assert ids[0] == ids[1] == ids[2]


def test_what_came_since_is_like_others_by_all_terms_in_the_night_s_weights(sample, tmp_path):
    """A refresh multiplies on the terms of what is new alone; here are all of them."""
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
    cosine[live, np.arange(len(live))] = 0.0  # nothing is like itself
    for row in range(n_before, len(ids)):
        column, value = page.live.similar.row(row)
        is_full = len(column) == BY_HAND.text.n_similar
        least = value.min() if is_full else BY_HAND.text.min_similarity
        assert set(column.tolist()) >= set(np.flatnonzero(cosine[row] > least + 1e-5).tolist())
        np.testing.assert_allclose(value, cosine[row, column], rtol=1e-4, atol=1e-6)
        assert len(column) > 0
    for place in np.flatnonzero(live >= n_before).tolist():
        for row in range(n_before):  # and what was known before to what came since
            column, value = page.live.similar.row(row)
            if place in column:
                assert value[column == place] == pytest.approx(cosine[row, place], abs=1e-5)
            elif len(column) < BY_HAND.text.n_similar:
                assert cosine[row, place] < BY_HAND.text.min_similarity + 1e-5


def test_a_refresh_needs_a_run_that_is_neither_later_nor_too_old(sample, tmp_path):
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
    with Store(tmp_path / "empty.db") as empty, pytest.raises(Exception, match="another store"):
        run_nightly(empty, tmp_path, as_of_ms=at, config=BY_HAND, kind="refresh")


def test_the_night_a_refresh_goes_back_to_is_never_pruned(sample, tmp_path):
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


counts = st.lists(st.integers(0, 40), max_size=8, unique=True).map(sorted)


def profiles_of(found):
    """Some profiles as arrays, one by one."""

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
        reads, read, exposed = (np.array(draw(counts), dtype=np.int64) for _ in range(3))
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


def same(one, other):
    for field in dataclasses.fields(Profile):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@given(some_profiles())
def test_profiles_come_back_as_they_were_one_or_many_at_once(found):
    packed = pack_profiles(profiles_of(found))
    for data, profile in zip(packed, found, strict=True):
        same(unpack_profile(data, n_factors=4), profile)
    together = unpack_profiles(packed, n_factors=4, n_categories=5)
    assert (together.affinity[:, 3:] == 0).all()  # sections that came later
    together = dataclasses.replace(together, affinity=together.affinity[:, :3])
    assert pack_profiles(together) == packed


def naive_advanced(profile, clicked, first, shown, *, factors, is_live, as_of_ms, known_reads):
    """One reader's profile after what came since: (article, ms) pairs, told plainly."""
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
    firsts = [pair for pair in first if is_live[pair[0]] and pair[0] not in before]
    for events, half_lives, at in ((views, SHOWN_HOURS, 0), (firsts, READ_HOURS, len(SHOWN_HOURS))):
        for article, event_ms in events:
            of = counts.setdefault(article, np.zeros(len(USER_FEATURES)))
            for k, half_life in enumerate(half_lives):
                of[at + k] += 2.0 ** (-((as_of_ms - event_ms) / HOUR_MS) / half_life)
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
def test_many_profiles_grow_as_each_would_alone(found, data):
    now, rng = 2**45 + 5 * HOUR_MS, np.random.default_rng(data.draw(st.integers(0, 2**32)))
    article, ms = st.integers(0, 40), st.integers(2**45, now - 1)
    of_each = [
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
        rows = [(r, *e) if which else (r, e) for r, of in enumerate(of_each) for e in of[which]]
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
    for row, data_of_one in enumerate(pack_profiles(together)):
        alone = naive_advanced(found[row], *of_each[row], factors=factors[row], **common)
        one = unpack_profile(data_of_one, n_factors=4)
        np.testing.assert_allclose(one.exposure_counts, alone.exposure_counts, rtol=1e-5, atol=1e-6)
        same(
            dataclasses.replace(one, exposure_counts=0),
            dataclasses.replace(alone, exposure_counts=0),
        )


def test_counts_of_a_profile_decay_and_grow_by_hand_arithmetic():
    one, two = np.array([5]), np.array([5, 7])
    is_live = np.ones(9, dtype=bool)
    common = {"factors": np.zeros((1, 2), np.float32), "is_live": is_live, "known_reads": 2}
    zero, nothing = np.array([0]), np.zeros(0, dtype=np.int64)
    # Shown article 5 at hour 0 and read it at hour 11; asked at hour 12.
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
    # Twelve hours on: read again, which is no first read, and 7 anew, at an unknown time.
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


def test_what_is_over_leaves_a_reader_of_a_later_run(refreshed):
    folder, reports, twins = refreshed
    path = published_folder.run_path(folder, reports[0].run_id)
    later = dataclasses.replace(twins[-1].model.page, n_categories=99)  # sections that came since
    live, builder = later.live, UserStateBuilder(later)
    with closing(run_file.connect(path)) as conn:
        packed = dict(run_file.load_profiles(conn, path))
    over = 0
    for data in packed.values():
        profile = unpack_profile(data, n_factors=live.factors.shape[1])
        reader = builder.reader_at(data, twins[-1].window.as_of_ms)
        assert np.isin(reader.exposed, live.live_rows).all()
        assert len(reader.affinity) == 99
        over += len(profile.exposed) - len(reader.exposed)
    assert over > 0
