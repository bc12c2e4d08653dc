"""Kept examples are bounded: by age, and by number."""


def kept(store, ends, name="head"):
    return [end for end in ends if store.derived.examples(end, name) is not None]


def test_the_examples_stored_last_are_kept(store):
    for end in (10, 30, 20, 40):
        store.derived.put_examples(end, "head", b"x", oldest_ms=0, most=3)
    assert kept(store, (10, 20, 30, 40)) == [20, 30, 40]
    store.derived.put_examples(30, "head", b"y", oldest_ms=0, most=3)  # now the last one
    store.derived.put_examples(50, "head", b"x", oldest_ms=0, most=2)
    assert kept(store, (10, 20, 30, 40, 50)) == [30, 50]


def test_examples_of_days_that_ended_long_ago_are_dropped(store):
    for end in (10, 20, 30):
        store.derived.put_examples(end, "head", b"x", oldest_ms=end - 10, most=9)
    assert kept(store, (10, 20, 30)) == [30]
