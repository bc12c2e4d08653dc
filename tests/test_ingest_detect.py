"""Folders are walked without loss or repetition, and formats are detected."""

import json
import os
from pathlib import Path

import pytest
from conftest import RECEIVED_MS

from recsys.errors import InputRefusedError
from recsys.ingest.detect import expand, format_of, require_file
from recsys.ingest.load_files import load_files


@pytest.fixture
def folder(tmp_path):
    """A folder without the database of the fixture `store`."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def write(folder: Path, *names: str) -> Path:
    """Write a click log of each name below a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        click = {"user_id": name, "article_id": "a1", "clicked_at": "2026-03-01T10:00:00Z"}
        path.write_text(json.dumps(click) + "\n")
    return folder


def read_and_skipped(*paths):
    """Return the names of the files that are read, and the reasons of the others by name."""
    files = list(expand(paths))
    names = [file.name for file in files if not file.skipped]
    return names, {file.name: file.skipped for file in files if file.skipped}


def test_files_come_in_natural_order(folder):
    write(folder, "c-10.jsonl", "c-9.jsonl", "c-9b.jsonl", "b/2.jsonl", "b/11.jsonl", "c.jsonl")
    names, _ = read_and_skipped(folder)
    assert names == [
        "b/2.jsonl",
        "b/11.jsonl",
        "c-9.jsonl",
        "c-9b.jsonl",
        "c-10.jsonl",
        "c.jsonl",
    ]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("c.jsonl.1", "jsonl"),
        ("c.jsonl.12.gz", "jsonl"),
        ("c.jsonl.gz.1", "jsonl"),
        ("c.csv-20260301", "csv"),
        ("c.csv-20260301.zst", "csv"),
        ("c.csv.2026-03-01", "csv"),
        ("c.csv.2026-03-01T10", "csv"),
        ("C.CSV.3", "csv"),
        ("c-2026.03.01.csv", "csv"),
        ("feed.atom", "rss"),
    ],
)
def test_rotated_and_compressed_logs_keep_their_format(folder, name, format):
    write(folder, name)
    assert read_and_skipped(folder) == ([name], {})
    assert format_of(folder / name) == format


def test_what_is_not_data_is_skipped_and_named(folder, store):
    unread = ["._a.jsonl", ".DS_Store", "Thumbs.db", ".git/a.jsonl", "a.jsonl~", "a.jsonl.bak"]
    unread += ["b.jsonl.tmp", "b.jsonl.part", "__MACOSX/a.jsonl", "#a.jsonl#"]
    write(folder, "a.jsonl", *unread)
    (folder / "LICENSE").write_text("Words that are no rows.")
    names, skipped = read_and_skipped(folder)
    assert names == ["a.jsonl"]
    # A folder that is skipped is named itself, not each of its files.
    top = {name.partition("/")[0] if "/" in name else name for name in unread} | {"LICENSE"}
    assert set(skipped) == top
    report = load_files(store, expand([folder]), received_ms=RECEIVED_MS)
    assert report.n_files == 1
    assert not report.refused
    assert len(report.skipped) == len(top)


def test_an_unknown_ending_is_read_if_its_content_is_known(folder):
    write(folder, "clicks.dat", "clicks")
    (folder / "page.php").write_text("<!DOCTYPE html><html><body>Hi</body></html>")
    assert read_and_skipped(folder) == (["clicks", "clicks.dat", "page.php"], {})
    assert format_of(folder / "page.php") == "html"


def test_a_file_is_recognised_with_the_white_space_at_its_beginning(folder):
    # An event of Snowplow without an app id begins with a tab.
    values = [""] * 131
    values[3], values[5], values[6] = "2026-03-01 10:00:00.000", "page_view", "e1"
    values[126] = "page_view"
    (folder / "events").write_text("\t".join(values) + "\n")
    (folder / "feed").write_text("\n\n <?xml version='1.0'?>\n<rss><channel></channel></rss>")
    assert format_of(folder / "events") == "snowplow"
    assert format_of(folder / "feed") == "rss"


def test_a_folder_of_unknown_files_is_refused_and_its_files_are_named(folder, store):
    (folder / "notes.docx").write_bytes(b"PK\x03\x04")
    report = load_files(store, expand([folder]), received_ms=RECEIVED_MS)
    assert [Path(path).name for path, _ in report.skipped] == ["notes.docx"]
    assert len(report.refused) == 1


def test_links_are_followed_once_and_never_in_circles(folder):
    inside = write(folder / "in", "a.jsonl", "z/b.jsonl")
    elsewhere = write(folder / "elsewhere", "c.jsonl")
    (inside / "circle").symlink_to(inside)
    (inside / "z" / "up").symlink_to(inside)
    (inside / "latest").symlink_to(inside / "z")
    (inside / "link").symlink_to(elsewhere)
    (inside / "again").symlink_to(elsewhere)
    (inside / "current.jsonl").symlink_to(inside / "a.jsonl")
    (inside / "other.jsonl").symlink_to(elsewhere / "c.jsonl")
    names, skipped = read_and_skipped(inside)
    assert [name for name in names if "c.jsonl" not in name] == ["a.jsonl", "z/b.jsonl"]
    assert len([name for name in names if "c.jsonl" in name]) == 1
    assert {"circle", "latest", "current.jsonl", "other.jsonl"} <= set(skipped)


def test_a_file_given_twice_is_read_once(folder):
    write(folder, "a.jsonl", "b/c.jsonl")
    names, skipped = read_and_skipped(folder / "b" / "c.jsonl", folder, folder / "a.jsonl")
    assert names == ["c.jsonl", "a.jsonl"]
    assert set(skipped) == {"b/c.jsonl", "a.jsonl"}


def test_a_name_that_is_not_utf_8_is_read_and_can_be_printed(folder, store):
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.html"))
    path.write_text("<html><body><article><p>Some text of a page.</p></article></body></html>")
    bad = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.parquet"))
    bad.write_text("not Parquet")
    report = load_files(store, expand([folder]), received_ms=RECEIVED_MS)
    assert store.articles(known_by_ms=RECEIVED_MS).id_map.ids == ("caf\\xe9",)
    assert [str(error).encode() for error in report.refused]
    assert "caf\\xe9.parquet" in str(report.refused[0])


def test_one_bad_file_never_stops_the_others(folder, store):
    write(folder, "a.jsonl", "z.jsonl")
    os.mkfifo(folder / "b.jsonl")
    (folder / "c.jsonl").symlink_to(folder / "nothing")
    files = expand([folder, folder / "missing.csv", Path("/dev/null")])
    report = load_files(store, files, received_ms=RECEIVED_MS)
    assert report.added["clicks"].new == 2
    refused = {Path(error.path).name: error.problem for error in report.refused}
    assert refused == {
        "b.jsonl": "not a regular file",
        "c.jsonl": "no such file",
        "missing.csv": "no such file",
        "null": "not a regular file",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser can read everything")
def test_what_may_not_be_opened_is_refused_by_name(folder, store):
    write(folder, "a.jsonl", "b.jsonl", "closed/c.jsonl")
    (folder / "b.jsonl").chmod(0)
    (folder / "closed").chmod(0)
    report = load_files(store, expand([folder]), received_ms=RECEIVED_MS)
    (folder / "closed").chmod(0o700)
    assert report.added["clicks"].new == 1
    assert {Path(error.path).name for error in report.refused} == {"b.jsonl", "closed"}


def test_pages_of_one_name_in_several_folders_are_several_articles(folder, store):
    page = "<html><body><article><h1>{0}</h1><p>The page of {0} has a text.</p></article></body>"
    for section in ("sport", "culture"):
        (folder / section).mkdir()
        (folder / section / "index.html").write_text(page.format(section))
    load_files(store, expand([folder]), received_ms=RECEIVED_MS)
    load_files(store, expand([folder / "sport" / "index.html"]), received_ms=RECEIVED_MS)
    ids = store.articles(known_by_ms=RECEIVED_MS).id_map.ids
    assert ids == ("culture/index", "index", "sport/index")


def test_a_folder_that_cannot_be_read_is_refused(folder):
    (file,) = expand([folder])
    with pytest.raises(InputRefusedError, match="no file in this folder"):
        require_file(file.path)
