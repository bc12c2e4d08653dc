from types import SimpleNamespace

from recsys.evaluation.headline import findings
from recsys.metrics import Interval


def report(means, differences, **others):
    """Return a stand-in for the report of one protocol: AUCs, and their differences by system."""
    return SimpleNamespace(
        n_impressions=others.get("n", 10),
        n_users=3,
        heads=others.get("heads", {}),
        systems={name: {"auc": Interval(mean, mean, mean)} for name, mean in means.items()},
        differences={
            name: {other: {"auc": Interval(*value)} for other, value in of.items()}
            for name, of in differences.items()
        },
    )


NO_LISTS = SimpleNamespace(n_lists=0)


def finding(means, differences):
    in_view = {"nightly": report(means, differences)}
    (found,) = findings(in_view, NO_LISTS, {"nightly": {}})
    return found.removesuffix(" Judged on 10 impressions of 3 users.")


def test_the_best_system_is_compared_with_the_next_best():
    means = {"popularity": 0.6, "text": 0.65, "blend": 0.7, "page": 0.9}
    less = {"blend": {"text": (0.05, 0.01, 0.09), "popularity": (0.1, 0.05, 0.15)}}
    assert finding(means, less) == (
        "Re-ranking what was shown (nightly): blend won, with AUC 0.700 against 0.650 of text"
        " (difference +0.050, 95 % interval +0.010 to +0.090)."
    )


def test_a_difference_whose_interval_holds_0_is_no_win():
    means = {"text": 0.65, "blend": 0.7}
    assert finding(means, {"blend": {"text": (0.05, -0.01, 0.09)}}) == (
        "Re-ranking what was shown (nightly): blend and text are too close to call in AUC, 0.700"
        " and 0.650 (difference +0.050, 95 % interval -0.010 to +0.090)."
    )


def test_a_baseline_that_wins_is_compared_with_the_blend():
    means = {"popularity": 0.8, "text": 0.75, "blend": 0.7}
    less = {"blend": {"popularity": (-0.1, -0.15, -0.05), "text": (-0.05, -0.1, 0.0)}}
    assert "popularity won, with AUC 0.800 against 0.700 of blend" in finding(means, less)
    assert "(difference +0.100, 95 % interval +0.050 to +0.150)." in finding(means, less)


def test_a_system_without_a_value_is_no_rival_and_what_was_not_judged_gives_no_finding():
    means = {"mine": float("nan"), "text": 0.65, "blend": 0.7}
    less = {"blend": {"text": (0.05, 0.01, 0.09)}, "mine": {}}
    assert "blend won" in finding(means, less)
    nothing = {"nightly": report({}, {}, n=0)}
    assert findings(nothing, NO_LISTS, {"nightly": {}}) == []


def test_what_a_signal_adds_is_said():
    in_view = {"nightly": report({}, {}, n=0)}
    lost = {"nightly": {"signal mood": Interval(0.02, 0.01, 0.03), "age": Interval(0.1, 0.1, 0.1)}}
    lists = SimpleNamespace(
        n_lists=7,
        n_users=5,
        systems={n: {"hit@5": Interval(x, x, x)} for n, x in (("blend", 0.5), ("random", 0.1))},
        differences={
            "blend": {
                "random": {"hit@5": Interval(0.4, 0.3, 0.5)},
                "blend without mood": {"hit@5": Interval(0.012, -0.01, 0.03)},
            }
        },
    )
    _, in_view_says, lists_say = findings(in_view, lists, lost)
    assert in_view_says == (
        "What signal mood adds to the blend (nightly): AUC +0.020, 95 % interval +0.010 to +0.030."
    )
    assert lists_say == (
        "What signal mood adds to the blend (all live articles): hit@5 +1.2 points, 95 % interval"
        " -1.0 to +3.0, which may be 0."
    )


def test_it_is_said_how_often_each_head_was_served_and_why_not():
    served, refused = {"used": True, "why": "bend penalty 10"}, {"used": False, "why": "too few"}
    heads = {"1 May": {"retrieval": served}, "2 May": {"retrieval": refused}}
    in_view = report({}, {}, n=0, heads=heads)
    # Both protocols were learned in the same nights.
    found = findings({"nightly": in_view, "hourly": in_view}, NO_LISTS, {})
    assert found == [
        "The learned head (retrieval) was served in 1 of 2 nights; not in 2 May: too few."
    ]
    in_view = report({}, {}, n=0, heads={"1 May": {"retrieval": served}})
    assert findings({"nightly": in_view}, NO_LISTS, {}) == [
        "The learned head (retrieval) was served in 1 of 1 nights."
    ]
