import json
import multiprocessing
import sqlite3
from contextlib import closing
from datetime import datetime

import msgspec
import numpy as np
import pytest
from conftest import BY_HAND, IDS_ALONE, LISTS, RECEIVED_MS, ROOT, SAMPLE, current_run, user_state
from newsroom import altered_sample

from recsys.config import Config, DataConfig, LearnConfig, PublishConfig
from recsys.errors import (
    HeldBackError,
    RecsysError,
    RunActiveError,
    SnapshotError,
)
from recsys.files import locked
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly import run as nightly_run
from recsys.nightly import workers
from recsys.nightly.run import run_nightly
from recsys.operations.export_rows import COLUMNS, export_rows
from recsys.published import connection, run_file, user_rows
from recsys.published import folder as published_folder
from recsys.rows import HOUR_MS, from_ms, iso, to_ms
from recsys.serving.recommender import Recommender
from recsys.store.database import Store
from recsys.training.article_signals import articles_lifted_by_bots, assign_sections
from recsys.training.train import train
from recsys.training.window import read_training_window

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
    # `python tests/test_nightly.py PUBLISHED` writes the file again; see CONTRIBUTING.
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


def test_only_its_owner_may_read_the_file_of_a_run(sample):
    path = published_folder.run_path(sample.folder, sample.report.run_id)
    assert path.stat().st_mode & 0o777 == 0o600


def test_planted_copies_belong_to_the_story_of_their_original(sample):
    run = current_run(sample.folder)
    live = [run.articles[row] for row in run.model.live.live_rows]
    title_of = {live_index: article.title for live_index, article in enumerate(live)}
    stories, written_ms = {}, {}
    for live_index, story in enumerate(run.model.story.tolist()):
        title = title_of[live_index]
        stories.setdefault(story, []).append(title)
        written_ms[title] = run.rank.written_ms[run.model.live.live_rows[live_index]]
    for titles in stories.values():
        # A story consists of copies, or of reports of one event within a day of each other.
        if len({title.removeprefix("Update: ") for title in titles}) > 1:
            assert np.diff(sorted(written_ms[t] for t in titles)).max() <= 24 * HOUR_MS
    copies = {title for title in title_of.values() if title.startswith("Update: ")}
    with_original = {t for t in copies if t.removeprefix("Update: ") in title_of.values()}
    in_a_story = {title for titles in stories.values() if len(titles) > 1 for title in titles}
    assert with_original <= in_a_story


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
    """A run is the same if the log goes on after `as_of`, with other clicks and other texts."""
    as_of_ms = to_ms(sample.as_of) - 24 * HOUR_MS
    as_of = iso(as_of_ms)

    def until_as_of(column):
        return lambda row: row if row[column] < as_of else None

    def with_future_texts_changed(row):
        return row if row["published_at"] <= as_of else row | {"title": "x", "body": ""}

    short = altered_sample(
        tmp_path / "short",
        article=with_future_texts_changed,
        click=until_as_of("clicked_at"),
        impression=until_as_of("shown_at"),
    )
    rng, contents = np.random.default_rng(7), []
    with (tmp_path / "later.csv").open("w") as later:
        later.write("user_id,article_id,clicked_at\n")
        for i in range(3_000):
            user, article = rng.integers(2_000), rng.integers(274)
            later.write(f"u{user:04d},a{article:04d},{as_of_ms + i}\n")
    for name, paths in (("short", [short]), ("long", [SAMPLE, tmp_path / "later.csv"])):
        with Store(tmp_path / f"{name}.db") as store:
            load_files(store, expand(paths), received_ms=to_ms(sample.as_of))
            folder = tmp_path / f"published {name}"
            report = run_nightly(store, folder, as_of_ms=as_of_ms, config=BY_HAND)
            n_later = len(store.clicks(from_ms=as_of_ms, before_ms=2**60).clicked_ms)
            assert (n_later == 0) == (name == "short")
        contents.append(content(published_folder.run_path(folder, report.run_id)))
    assert contents[0] == contents[1]


def test_a_click_after_as_of_on_an_earlier_impression_is_not_known(store, load):
    row = {
        "user_id": "u",
        "shown_at": "2026-03-01T10:00:00Z",
        "shown": ["a", "b"],
        "clicked": ["a"],
        "clicked_at": "2026-03-01T10:10:00Z",
    }
    load({"i.jsonl": json.dumps(row) + "\n"})
    between = to_ms(datetime.fromisoformat("2026-03-01T10:05:00+00:00"))
    window = read_training_window(store, between, IDS_ALONE)
    assert len(window.user_index) == 0
    assert len(window.live_rows) == 2


def test_a_nightly_run_is_the_same_by_one_process_or_two(store, tmp_path, monkeypatch):
    load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
    monkeypatch.setattr(nightly_run, "MANY_USERS", 1)
    monkeypatch.setattr(workers, "SHARD", 100)
    config = Config(learn=LearnConfig(days=1, max_choices=300))
    rows = []
    for n_processes in (2, 1):
        folder = tmp_path / str(n_processes)
        report = run_nightly(
            store, folder, as_of_ms=RECEIVED_MS, config=config, n_processes=n_processes
        )
        assert report.heads["retrieval"].n > 200
        store.derived.drop_examples(0)  # so that the second run builds its own
        with closing(connection.connect(published_folder.run_path(folder, report.run_id))) as conn:
            rows.append(
                [
                    conn.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                    for table in ("users", "arrays")
                ]
            )
    assert len(rows[0][0]) > 300
    assert rows[0] == rows[1]


def test_a_flood_of_clicks_by_bots_changes_nothing_in_popular_now(store, tmp_path):
    """The flood: 10,000 clicks of 50 user ids on one article, within the last hour."""
    load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
    pages = []
    target = "a0261"
    for flooded in (False, True):
        if flooded:
            at_ms = RECEIVED_MS - HOUR_MS + np.arange(10_000) * 359
            lines = [
                json.dumps({"user_id": f"bot{i % 50}", "article_id": target, "clicked_at": int(ms)})
                for i, ms in enumerate(at_ms.tolist())
            ]
            (tmp_path / "flood.jsonl").write_text("\n".join(lines))
            load_files(store, [tmp_path / "flood.jsonl"], received_ms=RECEIVED_MS)
        folder = tmp_path / str(flooded)
        report = run_nightly(store, folder, as_of_ms=RECEIVED_MS, config=BY_HAND)
        pages.append(Recommender(folder).recommend(as_of=from_ms(RECEIVED_MS)))
    assert report.counts["bots"] >= 50
    assert report.counts["bot_clicks"] >= 10_000
    before, after = ([slot.article_id for slot in page["popular_now"]] for page in pages)
    assert target not in before
    assert before == after


def test_bots_are_found_by_hour_day_and_article_and_the_articles_they_would_lift(store, tmp_path):
    load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS)
    before = read_training_window(store, RECEIVED_MS, BY_HAND)
    assert articles_lifted_by_bots(before, BY_HAND) == ["a0146"]  # by the crawler of the sample
    oldest = before.live_rows[np.argmin(before.born_ms[before.live_rows])]
    data, target = BY_HAND.data, before.articles.id_map.ids[oldest]
    articles = [i for i in before.articles.id_map.ids if i.startswith("a")][:100]
    rows = []
    for name, n, step_ms, clicked in (
        ("hour+", data.max_clicks_per_hour + 1, 29_000, articles),
        ("hour", data.max_clicks_per_hour, 29_000, articles),
        ("day+", data.max_clicks_per_day + 1, 35_000, articles),
        ("day", data.max_clicks_per_day, 35_000, articles),
        ("article+", data.max_clicks_per_article + 1, 100_000, [target]),
        ("article", data.max_clicks_per_article, 100_000, [target]),
    ):
        begin = (RECEIVED_MS // (24 * HOUR_MS) - 1) * 24 * HOUR_MS  # the beginning of a day
        rows += [(name, clicked[i % len(clicked)], begin + i * step_ms) for i in range(n)]
    rows += [(f"lift{i % 20}", target, RECEIVED_MS - 60_000 - i) for i in range(20 * 121)]
    path = tmp_path / "bots.csv"
    lines = ["user_id,article_id,clicked_at", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines))
    load_files(store, [path], received_ms=RECEIVED_MS)
    after = read_training_window(store, RECEIVED_MS, BY_HAND)
    new = set(after.bot_ids) - set(before.bot_ids)
    assert new == {"hour+", "day+", "article+", *(f"lift{i}" for i in range(20))}
    assert len(after.bot_clicks.user_key) - len(before.bot_clicks.user_key) == (
        121 + 601 + 101 + 20 * 121
    )
    assert target in articles_lifted_by_bots(after, BY_HAND)


def test_a_nightly_run_after_a_day_without_clicks_is_published(sample, tmp_path):
    later_ms = to_ms(sample.as_of) + 48 * HOUR_MS
    config = msgspec.structs.replace(Config(), learn=LearnConfig(days=2))
    path = tmp_path / "recsys.db"
    path.write_bytes(sample.store.read_bytes())
    with Store(path) as store:
        report = run_nightly(store, tmp_path / "p", as_of_ms=later_ms, config=config)
    assert report.heads["retrieval"].why.startswith("0 choices")


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


def test_a_user_who_has_read_every_article_gets_an_empty_page_not_an_error(store, load, tmp_path):
    lines = [
        {"user_id": u, "article_id": f"a{i}", "clicked_at": "2026-03-01T10:00:00Z"}
        for u in ("all", "some")
        for i in range(3 if u == "some" else 6)
    ]
    load({"c.jsonl": "".join(json.dumps(line) + "\n" for line in lines)})
    as_of = datetime.fromisoformat("2026-03-02T00:00:00+00:00")
    run_nightly(store, tmp_path / "p", as_of_ms=to_ms(as_of), config=IDS_ALONE)
    page = Recommender(tmp_path / "p").recommend("all", as_of=as_of)
    assert [len(slots) for slots in page.values()] == [0, 0, 0, 0]
    assert [note.partition(":")[0] for note in page.notes] == list(LISTS)


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


def test_a_refresh_is_not_compared_with_the_clicks_of_a_nightly_run(store, load, tmp_path):
    """Most clicks are older than the days that a refresh reads."""
    day = 24 * 3600
    lines = [
        {"user_id": f"u{i % 40}", "article_id": f"a{i % 30}", "clicked_at": 1_772_400_000 - age}
        for i in range(200)
        for age in ((12 * day + i,) if i % 10 else (12 * day + i, 3600 + i))
    ]
    load({"c.jsonl": "".join(json.dumps(line) + "\n" for line in lines)})
    folder, as_of_ms = tmp_path / "p", 1_772_400_000_000
    nightly = run_nightly(store, folder, as_of_ms=as_of_ms, config=IDS_ALONE)
    for _ in range(2):
        fresh = run_nightly(
            store, folder, as_of_ms=as_of_ms + HOUR_MS, config=IDS_ALONE, kind="refresh"
        )
    assert fresh.counts["clicks"] < 0.5 * nightly.counts["clicks"]
    assert published_folder.current_run(folder) == fresh.run_id


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


def test_old_runs_are_pruned_but_never_the_current_one(sample, tmp_path):
    config = msgspec.structs.replace(BY_HAND, publish=PublishConfig(keep_runs=2))
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=to_ms(sample.as_of), config=config).run_id
            for _ in range(3)
        ]
    assert published_folder.run_ids(tmp_path) == runs[1:]
    published_folder.publish(tmp_path, runs[1])
    assert published_folder.prune(tmp_path, 1) == []
    assert published_folder.current_run(tmp_path) == runs[1]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT data FROM arrays WHERE name = 'factors'",
        "SELECT data FROM articles WHERE name = 'title'",
    ],
)
def test_a_damaged_run_is_never_made_current(query, sample, tmp_path):
    with Store(sample.store) as store:
        runs = [
            run_nightly(store, tmp_path, as_of_ms=to_ms(sample.as_of), config=BY_HAND).run_id
            for _ in range(2)
        ]
    path = published_folder.run_path(tmp_path, runs[0])
    data = bytearray(path.read_bytes())
    with closing(connection.connect(path)) as conn:
        offset = data.find(conn.execute(query).fetchone()[0][:64])
    data[offset + 8] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(SnapshotError, match="damaged"):
        published_folder.publish(tmp_path, runs[0])
    with pytest.raises(SnapshotError, match="no run 000009-never"):
        published_folder.publish(tmp_path, "000009-never")
    assert published_folder.current_run(tmp_path) == runs[1]


def test_exported_rows_are_the_slots_of_the_pages(sample):
    rows = list(export_rows(sample.folder, as_of=sample.as_of))
    mine = [dict(zip(COLUMNS, row, strict=True)) for row in rows if row[2] == "u0007"]
    page = Recommender(sample.folder).recommend("u0007", as_of=sample.as_of)
    for name, slots in page.items():
        found = sorted((row for row in mine if row["list"] == name), key=lambda r: r["rank"])
        assert [row["article_id"] for row in found] == [slot.article_id for slot in slots]
        assert [row["reason"] for row in found] == [slot.reason for slot in slots]
    assert {row[0] for row in rows} == {"user", "anonymous", "article"}


def test_spellings_of_one_section_are_joined():
    index, names = assign_sections(["FOODS", "Foods", "tv", "", "UK", "WEATHER"])
    assert index.tolist() == [1, 1, 2, 0, 3, 4]
    assert names == ["", "Foods", "tv", "UK", "Weather"]


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


if __name__ == "__main__":
    import sys
    from pathlib import Path

    at = datetime.fromisoformat(json.loads((SAMPLE / "sample.json").read_text())["as_of"])
    pages = golden_pages(Path(sys.argv[1]), at)
    GOLDEN.write_text(json.dumps(pages, indent=1) + "\n", "utf-8")
