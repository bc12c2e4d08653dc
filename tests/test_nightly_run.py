import json
import multiprocessing
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND, IDS_ALONE, QUICK, ROOT, SAMPLE, current_run
from newsroom import altered_sample

from recsys.config import Config, DataConfig, LearnConfig
from recsys.errors import ConfigError, HeldBackError, RecsysError, RunActiveError, SnapshotError
from recsys.files import locked
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly import run as nightly_run
from recsys.nightly.run import run_nightly
from recsys.published import folder as published_folder
from recsys.published import run_file
from recsys.published.connection import connect
from recsys.rows import HOUR_MS, from_ms, iso, to_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store
from recsys.training.train import train

GOLDEN = ROOT / "tests" / "golden" / "sample.json"


def golden_pages(folder, as_of):
    """Return [article, reason code, score] of every slot, by page and list."""
    recommender = Recommender(folder)
    requests = [
        (None, None),
        ("u0007", None),
        ("u0007", "a0030"),
        (None, "a0045"),
        ("u0010", "a0160"),
    ]
    return {
        f"{user} {article}": {
            name: [[slot.article_id, slot.reason_code, slot.score] for slot in slots]
            for name, slots in recommender.recommend(user, article, as_of=as_of).items()
        }
        for user, article in requests
    }


def test_the_sample_gives_its_golden_lists(sample):
    # `python tests/test_nightly_run.py PUBLISHED` writes the file again; see CONTRIBUTING.
    golden = json.loads(GOLDEN.read_text("utf-8"))
    pages = golden_pages(sample.folder, sample.as_of)
    assert pages.keys() == golden.keys()
    for page, lists in golden.items():
        assert pages[page].keys() == lists.keys()
        for name, slots in lists.items():
            *of_slots, scores = zip(*pages[page][name], strict=True)
            *expected, golden_scores = zip(*slots, strict=True)
            assert of_slots == expected, (page, name)
            # The last digits depend on the processor.
            assert scores == pytest.approx(golden_scores, rel=2e-3, abs=2e-3), (page, name)


def test_the_report_counts_what_the_sample_planted(sample):
    counts = sample.report.counts
    assert counts["bots"] == 1
    assert counts["bot_clicks"] > 400
    assert counts["sections"] == 6  # three spellings of Lifestyle are one section
    assert counts["live_articles"] > counts["stories"]
    assert set(sample.report.seconds) >= {"read", "text", "collaborative", "publish"}
    assert sample.report.peak_mb > 0


def content(path):
    """Return the tables of a run, without its meta data."""
    with closing(sqlite3.connect(path)) as conn:
        tables = ("arrays", "articles", "users")
        return {name: conn.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def test_the_same_nightly_run_again_gives_the_same_bytes(sample, tmp_path):
    with Store(sample.store) as store:
        report = run_nightly(store, tmp_path, as_of_ms=to_ms(sample.as_of), config=Config())
    first = published_folder.run_path(sample.folder, sample.report.run_id)
    assert content(first) == content(published_folder.run_path(tmp_path, report.run_id))
    assert report.counts["articles_vectorised"] == 0  # the first run has counted all terms


def test_data_after_as_of_changes_nothing(sample, tmp_path):
    """A run is the same if the log goes on after `as_of`, with other clicks, texts and vectors."""
    as_of_ms = to_ms(sample.as_of) - 24 * HOUR_MS
    as_of = iso(as_of_ms)

    def until_as_of(column):
        return lambda row: row if row[column] < as_of else None

    def with_vector(row):
        return row | {
            "vector": np.random.default_rng(int(row["article_id"][1:])).normal(size=3).tolist()
        }

    def with_future_changed(row):
        future = {"title": "x", "body": "", "vector": [1.0, 2.0, 3.0]}
        return with_vector(row) if row["published_at"] <= as_of else row | future

    long = altered_sample(tmp_path / "long", article=with_vector)
    short = altered_sample(
        tmp_path / "short",
        article=with_future_changed,
        click=until_as_of("clicked_at"),
        impression=until_as_of("shown_at"),
    )
    rng, contents = np.random.default_rng(7), []
    with (tmp_path / "later.csv").open("w") as later:
        later.write("user_id,article_id,clicked_at\n")
        for i in range(3_000):
            user, article = rng.integers(2_000), rng.integers(274)
            later.write(f"u{user:04d},a{article:04d},{as_of_ms + i}\n")
    for name, paths in (("short", [short]), ("long", [long, tmp_path / "later.csv"])):
        with Store(tmp_path / f"{name}.db") as store:
            load_files(store, expand(paths), received_ms=to_ms(sample.as_of))
            folder = tmp_path / f"published {name}"
            report = run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
            n_later = len(store.clicks(from_ms=as_of_ms, before_ms=2**60).clicked_ms)
            assert (n_later == 0) == (name == "short")
        contents.append(content(published_folder.run_path(folder, report.run_id)))
    assert contents[0] == contents[1]


def test_a_nightly_run_after_a_day_without_clicks_is_published(sample, tmp_path):
    later_ms = to_ms(sample.as_of) + 48 * HOUR_MS
    config = msgspec.structs.replace(Config(), learn=LearnConfig(days=2))
    path = tmp_path / "recsys.db"
    path.write_bytes(sample.store.read_bytes())
    with Store(path) as store:
        report = run_nightly(store, tmp_path / "p", as_of_ms=later_ms, config=config)
    assert report.heads["retrieval"].why.startswith("0 choices")


def test_a_signal_of_ones_own_is_learned_served_and_refreshed(sample, tmp_path):
    with closing(sqlite3.connect(sample.store)) as conn:
        clicks = dict(conn.execute("SELECT article_id, count(*) FROM v_clicks GROUP BY 1"))
    own = {"all_clicks": lambda rows: [clicks.get(id_, 0) for id_ in rows["article_id"]]}
    as_of_ms, folder = to_ms(sample.as_of), tmp_path / "p"
    shutil.copy(sample.store, tmp_path / "s.db")
    with Store(tmp_path / "s.db") as store:
        for kind, at_ms in (("nightly", as_of_ms - 6 * HOUR_MS), ("refresh", as_of_ms)):
            options = {"as_of_ms": at_ms, "kind": kind, "own_signals": own}
            run_nightly(store, folder, config=QUICK if kind == "nightly" else None, **options)
            run, path = current_run(folder), published_folder.require_current(folder)
            with closing(connect(published_folder.run_path(folder, path))) as conn:
                _, rank = run_file.load_model(conn, path)
            live = run.model.live
            ids = [run.articles[row].article_id for row in live.live_rows.tolist()]
            assert live.own_names() == ("all_clicks",)
            assert live.static["all_clicks"].tolist() == [clicks.get(id_, 0) for id_ in ids]
            assert live.weights["all_clicks"] > 0
            assert "all_clicks" in rank.refresh_curves
            page = Recommender(folder).recommend("u0007", "a0030", as_of=from_ms(at_ms))
            liked = page["you_may_also_like"]
            assert any("all_clicks" in slot.parts for slot in liked)
            assert len(Recommender(folder).rank("u0007", ids[:9])) == 9
        with pytest.raises(ConfigError, match="own signals all_clicks, but none are given"):
            run_nightly(store, folder, as_of_ms=as_of_ms + 1, kind="refresh")
        with pytest.raises(ConfigError, match="signal text: recsys has a signal"):
            run_nightly(store, folder, as_of_ms=as_of_ms + 1, own_signals={"text": len})


def test_a_log_without_texts_is_enough_for_a_page(store, load, tmp_path):
    lines = [
        {
            "user_id": f"u{u}",
            "article_id": f"a{(u + i) % 12}",
            "clicked_at": f"2026-03-01T1{i}:00:00Z",
        }
        for u in range(30)
        for i in range(4)
    ]
    load({"c.jsonl": "".join(json.dumps(line) + "\n" for line in lines)})
    as_of = datetime.fromisoformat("2026-03-02T00:00:00+00:00")
    with pytest.raises(HeldBackError, match="require_title = false"):
        run_nightly(store, tmp_path / "p", as_of_ms=to_ms(as_of), config=BY_HAND)
    run_nightly(store, tmp_path / "p", as_of_ms=to_ms(as_of), config=IDS_ALONE)
    page = Recommender(tmp_path / "p").recommend("u3", "a1", n=2, as_of=as_of)
    ids = [slot.article_id for slots in page.values() for slot in slots]
    assert len(ids) == len(set(ids)) == 7  # 12 articles, 4 read, the one being read
    assert not {"a3", "a4", "a5", "a6", "a1"} & set(ids)
    # The page says which lists are short and why, and so does each slot of these lists.
    assert page.notes
    short = {note.partition(": ")[0]: note.partition(": ")[2] for note in page.notes}
    for name, slots in page.items():
        assert all(slot.explanation.note == short.get(name, "") for slot in slots)


def test_an_empty_store_is_held_back(store, tmp_path):
    with pytest.raises(HeldBackError, match="no live articles"):
        run_nightly(store, tmp_path / "p", as_of_ms=1_000_000, config=BY_HAND)
    assert published_folder.current_run(tmp_path / "p") is None
    assert [run["status"] for run in store.runs()] == ["held back"]


def test_a_run_with_few_live_articles_is_kept_but_not_served(sample, tmp_path):
    with Store(sample.store) as store:
        as_of_ms = to_ms(sample.as_of)
        first = run_nightly(store, tmp_path, as_of_ms=as_of_ms, config=BY_HAND)
        short = msgspec.structs.replace(
            BY_HAND, data=DataConfig(max_age_hours=2.0, active_hours=0.1)
        )
        with pytest.raises(HeldBackError, match="live articles"):
            run_nightly(store, tmp_path, as_of_ms=as_of_ms, config=short)
    assert published_folder.current_run(tmp_path) == first.run_id
    assert published_folder.run_ids(tmp_path) == [first.run_id]
    assert len(published_folder.run_ids(tmp_path, ".held")) == 1


def test_a_run_with_few_clicks_or_with_a_nan_is_held_back(sample, tmp_path, monkeypatch):
    path = tmp_path / "recsys.db"
    path.write_bytes(sample.store.read_bytes())
    folder, as_of_ms = tmp_path / "published", to_ms(sample.as_of)
    with Store(path) as store:
        first = run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
        n_clicks = first.counts["clicks"]
        # The window of one day, where the last run had thirty.
        shorter = msgspec.structs.replace(BY_HAND, data=DataConfig(window_days=1.0))
        with pytest.raises(HeldBackError, match=f"clicks, {n_clicks} in {first.run_id}"):
            run_nightly(store, folder, as_of_ms=as_of_ms, config=shorter)

        def train_with_a_nan(*args):
            model = train(*args)
            model.page.live.factors[0, 0] = np.nan
            return model

        monkeypatch.setattr(nightly_run, "train", train_with_a_nan)
        with pytest.raises(HeldBackError, match="factors: some values are not finite") as caught:
            run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
    with pytest.raises(SnapshotError, match="finite"):
        published_folder.publish(folder, caught.value.run_id)
    assert published_folder.current_run(folder) == first.run_id


def test_a_run_with_a_process_that_dies_fails_and_the_current_run_stays(
    sample, tmp_path, monkeypatch
):
    path = tmp_path / "recsys.db"
    path.write_bytes(sample.store.read_bytes())
    folder, as_of_ms = tmp_path / "published", to_ms(sample.as_of)
    monkeypatch.setattr(nightly_run, "MANY_USERS", 1)
    with Store(path) as store:
        first = run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
        learning = msgspec.structs.replace(BY_HAND, learn=LearnConfig(days=1))
        real = nightly_run.ProcessPoolExecutor.submit

        def submit(pool, *task):
            future = real(pool, *task)
            for process in multiprocessing.active_children():
                process.kill()
            return future

        monkeypatch.setattr(nightly_run.ProcessPoolExecutor, "submit", submit)
        with pytest.raises(RecsysError, match="a process of the run died"):
            run_nightly(store, folder, as_of_ms=as_of_ms, config=learning, n_processes=2)
        assert [run["status"] for run in store.runs()][-1] == "failed"
        assert published_folder.current_run(folder) == first.run_id
        monkeypatch.undo()
        again = run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
    assert published_folder.current_run(folder) == again.run_id
    assert [p.name for p in folder.glob("*.partial")] == []


def test_a_second_run_at_the_same_time_is_refused(sample, tmp_path):
    with locked(tmp_path), Store(sample.store) as store, pytest.raises(RunActiveError):
        run_nightly(store, tmp_path, as_of_ms=to_ms(sample.as_of), config=BY_HAND)


def test_logged_positions_say_how_much_each_slot_is_looked_at(store, load, tmp_path):
    clicks = [
        {"user_id": f"u{u}", "article_id": f"a{u % 12}", "clicked_at": "2026-02-28T10:00:00Z"}
        for u in range(120)
    ]
    # Five impressions of each user. Each article is as often first as second, and a1 is clicked in
    # both positions: 300 clicks in each.
    views = [
        {
            "user_id": f"u{i % 120}",
            "shown_at": f"2026-03-01T12:{i // 60 % 60:02}:{i % 60:02}Z",
            "source": "popular_now",
            "shown": ["a1", "a2"] if i % 2 else ["a2", "a1"],
            "clicked": ["a1"],
        }
        for i in range(600)
    ]
    rows = {"c.jsonl": clicks, "i.jsonl": views}
    load({name: "".join(json.dumps(row) + "\n" for row in of) for name, of in rows.items()})
    as_of_ms = to_ms(datetime.fromisoformat("2026-03-02T00:00:00+00:00"))
    for kind in ("nightly", "refresh"):
        report = run_nightly(store, tmp_path / "p", as_of_ms=as_of_ms, config=IDS_ALONE, kind=kind)
        assert report.looked_at == {"popular_now": [1.0, 0.977]}
        page = current_run(tmp_path / "p").model
        assert list(page.examination) == ["popular_now"]
        # (300 + 20 / log2(3)) / (300 + 20): the log outweighs the published curve.
        assert page.examination["popular_now"] == pytest.approx([1.0, (300 + 12.6186) / 320])


if __name__ == "__main__":
    import sys
    from pathlib import Path

    at = datetime.fromisoformat(json.loads(SAMPLE.with_suffix(".json").read_text())["as_of"])
    pages = golden_pages(Path(sys.argv[1]), at)
    GOLDEN.write_text(json.dumps(pages, indent=1) + "\n", "utf-8")
