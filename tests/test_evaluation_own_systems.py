from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys.errors import ConfigError
from recsys.evaluation.own_systems import COLUMNS, OwnSystems, read_scores
from recsys.rows import HOUR_MS, IdMap

FIVE = datetime(1970, 1, 1, 5, tzinfo=UTC)
ROWS = pl.DataFrame(
    {
        "task": ["in view"] * 4,
        "user_id": ["u1", "u1", None, "u2"],
        "article_id": ["a", "b", "a", "a"],
        "at": [FIVE] * 4,
        "known_until": [FIVE] * 4,
        "beside": [None] * 4,
    },
    schema=COLUMNS,
)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"article_id": ["a"], "score": [7]}, [7, None, 7, 7]),
        ({"article_id": ["a", "b"], "user_id": ["u1", "u2"], "score": [7, 8]}, [7] + [None] * 3),
        ({"article_id": ["a"], "user_id": [None], "score": [7]}, [None, None, 7, None]),
        ({"article_id": ["a", "a"], "at": [FIVE, datetime(1970, 1, 1, 6, tzinfo=UTC)]}
         | {"score": [7, 8]}, [7, None, 7, 7]),
    ],
)  # fmt: skip
def test_scores_count_for_the_candidates_that_agree_in_their_columns(table, expected):
    frame = pl.DataFrame(table).with_columns(pl.col("^user_id$").cast(pl.String))
    assert read_scores(frame, "mine")(ROWS).to_list() == expected


def test_two_scores_of_a_candidate_are_refused():
    table = pl.DataFrame({"article_id": ["a", "a"], "user_id": ["u", "u"], "score": [1, 2]})
    with pytest.raises(ConfigError, match="scores mine: two scores of user_id u, article_id a"):
        read_scores(table, "mine")


def test_full_lists_are_asked_for_in_blocks_of_users(monkeypatch):
    monkeypatch.setattr("recsys.evaluation.own_systems._ROWS_AT_ONCE", 5)
    asked = []

    def score(rows):
        asked.append(rows)
        return pl.Series(range(len(rows)))

    users = IdMap([" s1", "u1", "u2"], np.array([9, 4, 5]))
    own = OwnSystems({"mine": score}, users, IdMap(["a", "b"], np.array([1, 2])))
    found = own.full_lists([4, 9, 5], np.array([2, 1]), 12 * HOUR_MS)["mine"]
    assert found.tolist() == [[0, 1], [2, 3], [0, 1]]
    assert asked[0]["user_id"].to_list() == ["u1", "u1", None, None]
    assert asked[1]["user_id"].to_list() == ["u2", "u2"]
    assert asked[1]["article_id"].to_list() == ["b", "a"]
    assert own.full_lists([], np.array([2, 1]), 0)["mine"].shape == (0, 2)
