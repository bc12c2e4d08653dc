"""What `recsys ingest` prints can be used as it is printed."""

import json

from newsroom import run, well


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


def test_a_dry_run_says_what_is_ignored_anonymous_and_without_an_offset(tmp_path):
    (tmp_path / "c.csv").write_text(
        "article_id,clicked_at,visitor,dwell_seconds\na1,2026-03-01T10:00,u1,-3\n"
    )
    said = well(tmp_path, "ingest", "c.csv", "--store", "s.db", "--dry-run").out
    assert "ignored: 1 x dwell_seconds: " in said
    assert "1 times without an offset were taken as UTC" in said
    assert "1 rows name no user and no session: they are anonymous" in said
    assert '    [ingest.clicks]\n    user_id = "visitor"\n' in said
    assert not (tmp_path / "s.db").exists()


def test_a_dry_run_names_the_columns_of_a_mapping_that_the_file_lacks(tmp_path):
    (tmp_path / "c.csv").write_text("visitor,story,when\nu1,a1,2026-03-01T10:00Z\n")
    (tmp_path / "recsys.toml").write_text('[ingest.clicks]\nclicked_at = "tyme"\n')
    said = well(tmp_path, "ingest", "c.csv", "--store", "s.db", "--dry-run").out
    assert (
        'not a column of this file, but in the settings: [ingest.clicks] clicked_at = "tyme"'
        in said
    )
    assert '    user_id = "visitor"\n    article_id = "story"\n    clicked_at = "when"' in said


def test_a_path_that_is_not_there_makes_no_store(tmp_path):
    done = run(tmp_path, "ingest", "typo.csv", "--store", "s.db")
    assert done.status == 2
    assert "typo.csv: refused: no such file" in done.said
    assert not (tmp_path / "s.db").exists()


def test_a_refused_file_is_an_error_of_the_log(tmp_path):
    (tmp_path / "c.csv").write_text("x,y\n1,2\n")
    done = run(tmp_path, "ingest", "c.csv", "--store", "s.db", "--log-json")
    assert done.status == 2
    last = json.loads(done.said.splitlines()[-1])
    assert (last["level"], last["message"][:7]) == ("error", "c.csv: ")
