import io
from datetime import UTC, datetime

import polars as pl
import pytest
from read_file import read_file

from recsys.errors import InputRefusedError
from recsys.ingest import ebnerd

AT = datetime(2023, 5, 20, 7, 30)
ARTICLE = {
    "article_id": [9001, 9002],
    "title": ["Ny bro", "Holdet vandt"],
    "subtitle": ["Broen er åben", None],
    "last_modified_time": [AT, AT],
    "premium": [True, False],
    "body": ["Lang tekst", ""],
    "published_time": [AT, None],
    "image_ids": [[1], None],
    "article_type": ["article_default"] * 2,
    "url": ["https://n.example/9001", "https://n.example/9002"],
    "ner_clusters": [["Oslo", "Ana"], []],
    "topics": [["Vej", "Oslo"], None],
    "category": [118, 142],
    "subcategory": [[133], []],
    "category_str": ["nyheder", "sport"],
    "total_pageviews": [5, None],
}


def parquet(columns):
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file)
    return file.getvalue()


def test_articles_have_the_name_of_their_section_and_their_entities_as_tags(tmp_path):
    first, second = read_file(ebnerd.read, tmp_path, parquet(ARTICLE)).articles
    assert first == {
        "row": 1,
        "article_id": 9001,
        "title": "Ny bro",
        "summary": "Broen er åben",
        "body": "Lang tekst",
        "category": "nyheder",
        "url": "https://n.example/9001",
        "premium": True,
        "published_at": AT.replace(tzinfo=UTC),
        "modified_at": AT.replace(tzinfo=UTC),
        "tags": ["Vej", "Oslo", "Ana"],
        "language": "da",
    }
    assert second["tags"] == []
    assert "published_at" not in second


def test_articles_need_few_columns(tmp_path):
    columns = {name: ARTICLE[name] for name in ebnerd.ARTICLES}
    found = read_file(ebnerd.read, tmp_path, parquet(columns))
    assert [row["category"] for row in found.articles] == ["nyheder", "sport"]
    assert read_file(ebnerd.read, tmp_path, parquet(columns), "clicks").articles == []


def test_files_are_recognised_by_their_columns(tmp_path):
    assert ebnerd.is_ebnerd(set(ARTICLE))
    assert ebnerd.is_ebnerd(ebnerd.BEHAVIORS | {"device_type"})
    assert not ebnerd.is_ebnerd({"article_id", "title", "published_at", "category"})
    with pytest.raises(InputRefusedError, match="not EB-NeRD"):
        read_file(ebnerd.read, tmp_path, parquet({"a": [1]}))


def test_articles_reach_the_store(load, store):
    load({"articles.parquet": parquet(ARTICLE)})
    articles = store.articles(known_by_ms=2**53)
    assert list(articles.id_map.ids) == ["9001", "9002"]
    assert list(articles.categories) == ["nyheder", "sport"]
    assert list(articles.premium) == [True, False]
    assert articles.tags[0] == "Vej\nOslo\nAna"
    assert articles.published_ms[0] == 1_684_567_800_000  # 2023-05-20T07:30:00Z
