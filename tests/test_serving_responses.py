from recsys.serving.responses import ARTICLE_FIELDS


def test_slots_are_equal_that_say_the_same(sample, recommender):
    first, again = (recommender.recommend("u0007", "a0030", as_of=sample.as_of) for _ in range(2))
    assert dict(first) == dict(again)
    one, other = first["must_reads"][:2]
    assert one != other
    assert {one, again["must_reads"][0]} == {one}
    said = one.as_dict()
    own = [name for name in one._fields if name not in ("trace", "place")]
    assert list(said) == [*own, *ARTICLE_FIELDS]
    assert said["article_id"] == one.article_id
    assert repr(one).startswith("Recommendation(article_id=")
    assert "Trace" not in repr(one)
