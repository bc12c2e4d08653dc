"""Why each slot of a page holds what it holds."""

import dataclasses

import pytest

from recsys.serving.recommender import Recommender


def test_every_slot_explains_itself(by_hand):
    recommender = Recommender(by_hand.folder)
    page = recommender.recommend("u0007", "a0030", as_of=by_hand.as_of)
    where = {slot.article_id: name for name, slots in page.items() for slot in slots}
    n_live = len(recommender.run.model.live.live_rows)
    for slots in page.values():
        for rank, slot in enumerate(slots, start=1):
            why = slot.explanation
            assert why.list_rank >= rank - len(why.displaced)
            assert sum(why.parts.values()) == pytest.approx(slot.score, abs=0.02)
            assert all(1 <= place <= n_live for place in why.ranks.values())
            for other in why.displaced:
                assert other.article_id not in {s.article_id for s in slots}
                if "is in" in other.why:
                    assert where[other.article_id] == other.why.removeprefix("is in ")
    liked = page["you_may_also_like"][0].explanation
    read = {article for article in recommender.run.known}
    assert all(driver.article_id in read for driver in liked.drivers)
    weights = [driver.text + driver.als for driver in liked.drivers]
    assert weights == sorted(weights, reverse=True)
    assert dataclasses.asdict(liked)["parts"]


def test_text_drivers_add_up_to_the_text_part(by_hand):
    recommender = Recommender(by_hand.folder)
    whole = 0
    for user in ("u0007", "u0010", "u0020"):
        for slot in recommender.recommend(user, as_of=by_hand.as_of)["you_may_also_like"]:
            why = slot.explanation
            by_text = sum(driver.text for driver in why.drivers)
            assert by_text <= why.parts.get("text", 0.0) + 0.02  # some reads count against it
            whole += by_text == pytest.approx(why.parts.get("text", 0.0), abs=0.02) and by_text > 0
    assert whole
