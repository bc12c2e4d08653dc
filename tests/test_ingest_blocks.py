import bz2
import gzip
import lzma

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import InputRefusedError
from recsys.ingest import blocks
from recsys.ingest.blocks import read_blocks

COMPRESS = {
    "gz": gzip.compress,
    "zst": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
LINES = b"".join(b"line %d of a log\n" % i for i in range(3_000))


@pytest.fixture
def blocks_of(tmp_path):
    """Return a function that gives the blocks of some bytes."""

    def read(data):
        (tmp_path / "file").write_bytes(data)
        return list(read_blocks(tmp_path / "file"))

    return read


def text_of(found):
    return b"".join(block.data for block in found)


def problems(found):
    return [block.problem for block in found if block.problem]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BATCH_BYTES", 16)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(st.text("ab ,ü€😀", max_size=12), max_size=40))
def test_concatenated_blocks_equal_the_file_and_lines_are_numbered(blocks_of, small_blocks, lines):
    text = "".join(line + "\n" for line in lines).encode()
    found = blocks_of(text)
    assert text_of(found) == text
    line_number = 1
    for block in found:
        assert block.first_line == line_number
        assert block.n_lines == block.data.count(b"\n")
        line_number += block.n_lines


@pytest.mark.parametrize("ending", COMPRESS)
def test_archives_are_recognised_by_their_bytes(blocks_of, ending):
    compress = COMPRESS[ending]
    assert text_of(blocks_of(compress(LINES))) == LINES
    assert text_of(blocks_of(compress(LINES) + compress(LINES))) == LINES + LINES
    assert problems(blocks_of(compress(LINES) + compress(LINES))) == []


@pytest.mark.parametrize("ending", COMPRESS)
def test_null_bytes_after_an_archive_are_padding(blocks_of, ending):
    found = blocks_of(COMPRESS[ending](LINES) + bytes(64))
    assert (text_of(found), problems(found)) == (LINES, [])


@pytest.mark.parametrize("ending", COMPRESS)
def test_what_follows_an_archive_is_a_problem_and_costs_no_line(blocks_of, ending):
    found = blocks_of(COMPRESS[ending](LINES) + b"something else")
    assert text_of(found) == LINES
    assert len(problems(found)) == 1


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_truncated_archive_yields_the_lines_before_its_end(blocks_of, ending):
    archive = COMPRESS[ending](LINES)
    found = blocks_of(archive[:-8])
    assert LINES.startswith(text_of(found))
    assert problems(found)[0].startswith("truncated or damaged archive")


@pytest.mark.parametrize("ending", COMPRESS)
def test_an_archive_of_extreme_ratio_is_decompressed_in_small_pieces(tmp_path, ending):
    size = 100 << 20
    (tmp_path / "bomb").write_bytes(COMPRESS[ending](bytes(size)))
    with (tmp_path / "bomb").open("rb") as raw:
        pieces = [len(piece) for piece in blocks.decompress(raw)]
    assert sum(pieces) == size
    assert max(pieces) <= 32 << 20


def test_a_window_larger_than_the_bound_is_a_problem(blocks_of):
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    found = blocks_of(compressor.compress(LINES) + compressor.flush())
    assert "memory" in problems(found)[0]


def test_a_line_that_is_too_long_is_dropped_and_its_beginning_is_kept(blocks_of, monkeypatch):
    monkeypatch.setattr(blocks, "BATCH_BYTES", 64)
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 256)
    found = blocks_of(b"one\n" + b"x" * 5_000 + b"\nthree\n")
    assert text_of(found) == b"one\nthree\n"
    assert problems(found) == ["line of more than 256 bytes"]
    dropped = next(block for block in found if block.problem)
    assert dropped.first_line == 2
    assert set(dropped.dropped) == {ord("x")}
    assert found[-1].first_line == 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_text_of_any_encoding_becomes_utf8(blocks_of, small_blocks, encoding):
    text = "article_id,title\na1,Größe der Bürgerhäuser\n"
    assert text_of(blocks_of(text.encode(encoding))).decode() == text


def test_utf16_that_ends_within_a_character_yields_the_lines_before(blocks_of):
    found = blocks_of("id\na\nb\n".encode("utf-16") + b"\x00")
    assert text_of(found) == b"id\na\nb\n"
    assert problems(found) == ["the text is damaged: truncated data"]


def test_a_file_whose_encoding_cannot_be_recognised_is_refused_with_the_remedy(blocks_of):
    with pytest.raises(InputRefusedError, match="save the file as UTF-8"):
        blocks_of(b"\x81\x8d\x8f\x90\x9d\xff\n" * 3)


def test_a_zip_archive_is_refused_with_the_remedy(blocks_of):
    with pytest.raises(InputRefusedError, match="unpack it"):
        blocks_of(b"PK\x03\x04" + bytes(40))


def test_carriage_returns_alone_end_lines(blocks_of, small_blocks):
    assert text_of(blocks_of(b"id,title\ra,one\rb,two\r")) == b"id,title\na,one\nb,two\n"


def test_carriage_returns_of_a_file_with_newlines_stay(blocks_of):
    assert text_of(blocks_of(b"id,title\r\na,o\rne\r\n")) == b"id,title\r\na,o\rne\r\n"


def test_a_byte_order_mark_at_the_beginning_of_any_line_is_removed(blocks_of):
    mark = b"\xef\xbb\xbf"
    text = mark + mark + b"id\na\n" + mark + b"b" + mark + b"\n"
    assert text_of(blocks_of(text)) == b"id\na\nb" + mark + b"\n"


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(InputRefusedError, match="No such file"):
        list(read_blocks(tmp_path / "none"))


def test_an_empty_file_has_no_blocks(blocks_of):
    assert blocks_of(b"") == []
