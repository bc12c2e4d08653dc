"""What `recsys ingest` prints can be used as it is printed."""

from newsroom import well


def test_a_proposed_mapping_is_a_settings_file_as_it_is_printed(tmp_path):
    (tmp_path / "cms.csv").write_text("post_id;headline;published\n1;Budget;2026-03-02T05:00Z\n")
    said = well(tmp_path, "ingest", "cms.csv", "--store", "s.db", "--dry-run").out
    lines = [line[4:] for line in said.splitlines() if line.startswith("    ")]
    assert lines == [
        "[ingest.articles]",
        'article_id = "post_id"',
        'title = "headline"',
        'published_at = "published"',
    ]
    (tmp_path / "recsys.toml").write_text("\n".join(lines) + "\n")
    said = well(tmp_path, "ingest", "cms.csv", "--store", "s.db").out
    assert said.startswith("articles: 1 new")
