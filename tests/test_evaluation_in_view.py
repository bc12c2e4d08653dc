import json

import msgspec
import numpy as np
import pytest
from conftest import QUICK, RECEIVED_MS, SAMPLE
from newsroom import altered_sample

from recsys.config import DataConfig
from recsys.errors import StoreError
from recsys.evaluation.backtest import evaluated_runs
from recsys.evaluation.in_view import score_in_view, served_impressions
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.learn.examples import ExampleBuilder
from recsys.learn.past_runs import PastRuns
from recsys.rows import HOUR_MS, iso
from recsys.store.database import Store


def in_view_of(store, protocol, *, config=QUICK, **span):
    past = PastRuns(store, config)
    runs = evaluated_runs(ExampleBuilder(past), [protocol], **span)
    served = served_impressions(past, runs, [protocol])[protocol]
    return score_in_view(served, protocol, position_propensity=np.ones(1))


@pytest.mark.parametrize("protocol", ["nightly", "streaming"])
def test_scores_do_not_change_when_the_future_does(tmp_path, protocol):
    until_ms = RECEIVED_MS - 20 * HOUR_MS
    until = iso(until_ms)

    def click_until(row):
        return row if row["clicked_at"] < until else None

    def without_later_click(row):
        changed = {key: row[key] for key in row if key not in ("clicked", "clicked_at")}
        return row if row["shown_at"] < until else changed

    short = altered_sample(tmp_path / "short", click=click_until, impression=without_later_click)
    rng = np.random.default_rng(3)
    with (tmp_path / "later.csv").open("w") as later:
        later.write("user_id,article_id,clicked_at\n")
        for i in range(900):
            user, article = rng.integers(2_000), rng.integers(274)
            later.write(f"u{user:04d},a{article:04d},{until_ms + i}\n")
    scored = []
    for name, paths in (("short", [short]), ("long", [SAMPLE, tmp_path / "later.csv"])):
        with Store(tmp_path / f"{name}.db") as store:
            load_files(store, expand(paths), received_ms=RECEIVED_MS)
            span = {"from_ms": until_ms - 4 * HOUR_MS, "before_ms": until_ms}
            scored.append(in_view_of(store, protocol, **span))
            n_later = len(store.clicks(from_ms=until_ms + HOUR_MS, before_ms=2**60).clicked_ms)
            assert (n_later == 0) == (name == "short")
    short_scored, long_scored = scored
    assert len(short_scored.clicked) > 100
    assert any(head.used for heads in short_scored.heads.values() for head in heads.values())
    for system, scores in short_scored.scores.items():
        np.testing.assert_array_equal(scores, long_scored.scores[system], err_msg=system)


def test_a_bot_counts_as_a_user_before_its_flood_of_clicks(store, load):
    hour_ms = RECEIVED_MS - 24 * HOUR_MS
    shown = {"user_id": "u", "shown_at": hour_ms + 600_000, "shown": ["a", "b"], "clicked": ["a"]}
    early = {"user_id": "later-bot", "article_id": "a", "clicked_at": hour_ms + 1_000}
    load({"i.jsonl": json.dumps(shown) + "\n", "c.jsonl": json.dumps(early) + "\n"})
    # A second impression in the same hour, after the flood.
    load({"j.jsonl": json.dumps(shown | {"shown_at": hour_ms + 1_200_000}) + "\n"})
    span = {"from_ms": hour_ms, "before_ms": hour_ms + HOUR_MS}
    with pytest.raises(StoreError, match="require_title = false"):
        in_view_of(store, "streaming", **span)
    span["config"] = msgspec.structs.replace(QUICK, data=DataConfig(require_title=False))
    before = in_view_of(store, "streaming", **span).scores["popularity"][:2]
    flood = [
        {"user_id": "later-bot", "article_id": f"x{i}", "clicked_at": hour_ms + 700_000 + i}
        for i in range(200)
    ]
    load({"f.jsonl": "".join(json.dumps(click) + "\n" for click in flood)})
    after = in_view_of(store, "streaming", **span).scores["popularity"][:2]
    assert before[0] > 0
    assert after.tolist() == before.tolist()
