from recsys.training.article_signals import assign_sections


def test_spellings_of_one_section_are_joined():
    index, names = assign_sections(["FOODS", "Foods", "tv", "", "UK", "WEATHER"])
    assert index.tolist() == [1, 1, 2, 0, 3, 4]
    assert names == ["", "Foods", "tv", "UK", "Weather"]
