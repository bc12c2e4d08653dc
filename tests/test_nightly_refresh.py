"""Compare a refresh with its naive twin, which computes every user from the whole store."""

import dataclasses
import shutil
from contextlib import closing

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND, LISTS, current_run, user_state

from recsys import Recommender
from recsys.config import Config, TextConfig
from recsys.errors import NotPublishedError, SnapshotError, StoreError
from recsys.nightly.run import run_nightly
from recsys.published import connection, run_file, user_rows
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, from_ms, to_ms
from recsys.signals import text
from recsys.store.database import Store
from recsys.training.window import read_training_window


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


def test_a_refresh_carries_both_heads_over(sample, tmp_path):
    folder, later_ms = tmp_path / "published", to_ms(sample.as_of) + HOUR_MS
    shutil.copytree(sample.folder, folder)
    before = current_run(folder)
    assert before.rank.refresh_curves
    with Store(sample.store) as store:
        run_nightly(store, folder, as_of_ms=later_ms, config=Config(), kind="refresh")
    after = current_run(folder)
    assert after.meta.weights == before.meta.weights
    assert set(after.rank.curves) == set(before.rank.refresh_curves)
    for name, curve in after.rank.curves.items():
        np.testing.assert_array_equal(curve, before.rank.refresh_curves[name])


def test_a_refresh_publishes_new_articles_and_new_users_without_training(sample, tmp_path):
    as_of_ms = to_ms(sample.as_of)
    with Store(sample.store) as store:
        first = run_nightly(store, tmp_path, as_of_ms=as_of_ms - 12 * HOUR_MS, config=BY_HAND)
        second = run_nightly(store, tmp_path, as_of_ms=as_of_ms, config=BY_HAND, kind="refresh")
        window = read_training_window(store, as_of_ms, Config())
    recommender = Recommender(tmp_path)
    assert recommender.recommend().run_id == second.run_id
    run, path = current_run(tmp_path), published_folder.run_path(tmp_path, first.run_id)
    with closing(connection.connect(path)) as conn:
        known_articles = {a.article_id for a in run_file.load_articles(conn, path)}
        known_users = user_rows.user_ids(conn)
    live = {run.articles[row].article_id for row in run.model.live.live_rows}
    new_articles = live - known_articles
    assert new_articles
    page = recommender.recommend(as_of=sample.as_of)
    assert new_articles & {slot.article_id for slots in page.values() for slot in slots}
    # Users who came in those hours are known, with factors folded in from their clicks.
    new_users = [user_id for user_id in window.users.ids if user_id not in known_users]
    assert new_users
    assert any(user_state(run, user_id).factors.any() for user_id in new_users)
    # Every user's page is the one that a full scoring by this model gives.
    layout = run.builder.layout(None, has_context=False)
    for user_id in window.users.ids[::20]:
        built = run.builder.page(user_state(run, user_id), None, layout).lists
        served = recommender.recommend(user_id, as_of=sample.as_of)
        for name in LISTS:
            assert [slot.article_id for slot in served[name]] == [
                run.articles[run.model.live.live_rows[slot.live_index]].article_id
                for slot in built[name]
            ]
