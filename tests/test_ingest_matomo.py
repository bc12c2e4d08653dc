import json

import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import matomo

VISIT = {
    "idSite": "1",
    "idVisit": "501",
    "visitorId": "a1b2c3",
    "userId": None,
    "actionDetails": [
        {
            "type": "action",
            "url": "https://n.example/sport/cup?pk_campaign=x",
            "pageTitle": "Cup",
            "timeSpent": "26",
            "timestamp": 1_772_424_000,
        },
        {"type": "event", "url": "https://n.example/sport/cup", "timestamp": 1_772_424_001},
        {"type": "action", "url": "https://n.example/", "timestamp": 1_772_424_026},
        {"type": "action", "url": "https://n.example/b", "timestamp": 1_772_424_030},
    ],
}
CLICK = {
    "row": 1,
    "user_id": "a1b2c3",
    "article_id": "/sport/cup",
    "clicked_at": "1772424000",
    "dwell_seconds": "26",
    "source": "matomo",
}


@pytest.fixture
def read(tmp_path):
    """Return a function: what a file with this value, or text, holds."""

    def read_value(value, **options):
        text = value if isinstance(value, str) else json.dumps(value, indent=1)
        return read_file(matomo.read, tmp_path, text, **options)

    return read_value


def test_the_pages_of_a_visit_are_clicks(read):
    found = read([VISIT])
    assert found.clicks[0] == CLICK
    assert [click["article_id"] for click in found.clicks] == ["/sport/cup", "/b"]
    assert "dwell_seconds" not in found.clicks[1]  # Matomo does not know how long the last one was
    assert found.ignored == {("action", "type event"): 1, ("action", "page of no article"): 1}


def test_the_user_id_comes_first_and_a_visit_without_any_id_is_a_session(read):
    assert read([VISIT | {"userId": "u7"}]).clicks[0]["user_id"] == "u7"
    (click, _) = read([VISIT | {"visitorId": None}]).clicks
    assert click["session_id"] == "501"
    assert "user_id" not in click


def test_a_pattern_finds_the_id_of_an_article(read):
    assert [c["article_id"] for c in read([VISIT], pattern=r"/sport/(\w+)").clicks] == ["cup"]


def test_a_damaged_visit_costs_itself(read):
    lines = [json.dumps(VISIT), json.dumps(VISIT)[:-5], '{"idVisit": "1"}', json.dumps(VISIT)]
    found = read("\n".join(lines))
    assert [click["row"] for click in found.clicks] == [1, 1, 4, 4]
    assert [(r.row, r.reason) for r in found.rejects] == [(2, "not JSON"), (3, "missing")]


def test_what_holds_no_visit_is_refused(read):
    with pytest.raises(InputRefusedError, match="Matomo answered: no access"):
        read({"result": "error", "message": "no access"})
    with pytest.raises(InputRefusedError, match="holds no visit"):
        read([])
    with pytest.raises(InputRefusedError, match="not articles"):
        read([VISIT], kind="articles")
    assert matomo.matches(json.dumps([VISIT]).encode())


def test_visits_reach_the_store(load, store):
    assert load({"visits.json": json.dumps([VISIT])}).added["clicks"].new == 2
    clicks = store.clicks(from_ms=0, before_ms=2**53)
    assert clicks.clicked_ms.tolist() == [1_772_424_000_000, 1_772_424_030_000]
    assert clicks.dwell_seconds.tolist()[0] == 26
