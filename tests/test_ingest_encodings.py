import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recsys.ingest.encodings import decode_text, encoding_of, to_utf8

# A sentence in the encoding that programs of its country wrote before UTF-8.
SENTENCES = {
    "cp1252": [
        "Der Zürcher Stadtrat prüft größere Züge",
        "Les élèves du lycée ont fêté l’été à Nîmes",
        "El año pasado llovió más en La Coruña",
        "A população de São João não votou",
        "La città è più fredda di venerdì",
        "Färre tåg går på söndagar i Växjö",
        "En café åbner på Ærø",
        "Það er kalt í Reykjavík",
    ],
    "cp1250": [
        "Żółwie są już w Łodzi, mówią świadkowie",
        "Příští týden začne v Plzni škola, řekl úředník",
        "Őszi eső várható a hűvös fővárosban",
        "Šuma je čista, kaže đak iz Čačka",
    ],
    "cp1254": ["Bugün İzmir'de yağış ve güçlü rüzgâr bekleniyor, şimdi"],
    "cp1251": ["В городе открыли новый мост через реку"],
    "koi8_r": ["В городе открыли новый мост через реку"],
    "cp1253": ["Η πόλη έχει νέα γέφυρα πάνω από το ποτάμι"],
    "cp932": ["市は川に新しい橋を開きました。とても長い橋です。"],
    "euc_jp": ["市は川に新しい橋を開きました。とても長い橋です。"],
    "gb18030": ["这座城市在河上开了一座新桥，桥很长。"],
    "big5": ["這座城市在河上開了一座新橋，橋很長。"],
    "cp949": ["도시는 강 위에 새로운 다리를 열었습니다."],
}


@pytest.mark.parametrize(
    ("encoding", "sentence"), [(name, text) for name, texts in SENTENCES.items() for text in texts]
)
def test_a_few_lines_in_an_older_encoding_are_read(encoding, sentence):
    text = "article_id,title\n" + "".join(f"a{i},{sentence}\n" for i in range(5))
    assert decode_text(text.encode(encoding)) == text


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
def test_unicode_is_recognised_with_and_without_a_mark(encoding):
    text = "id,größe,橋,😀\n"
    assert decode_text(text.encode(encoding)) == text


@given(st.text())
def test_any_text_in_utf8_is_read_as_such(text):
    data = text.encode()
    assume(not text.startswith("\ufeff"))
    assume(0 not in data[:4])
    assert decode_text(data) == text


def test_a_sample_that_ends_within_a_character_is_utf8():
    data = "größe €😀".encode()
    assert {encoding_of(data[:n]) for n in range(len(data) + 1)} == {"utf-8"}


@pytest.mark.parametrize(
    "broken_line",
    [b"u\xff,a1\n", b"u\xc3,a1\n", b"\xe2\x82,a1\n", b"\xf0\x9f\x98,a1\n"],
)
def test_a_broken_line_of_a_log_does_not_change_its_encoding(broken_line):
    ascii_lines = b"user_id,article_id\n" + b"u1,a1\n" * 5
    assert encoding_of(ascii_lines + broken_line) == "utf-8"
    assert encoding_of("u1,größe\n".encode() * 5 + broken_line) == "utf-8"


def test_lines_of_two_encodings_are_utf8_with_broken_lines():
    lines = "a,Größe der Stadt\n"
    assert encoding_of(lines.encode() * 9 + lines.encode("cp1252") * 9) == "utf-8"


def test_bytes_of_no_known_encoding_are_not_guessed():
    assert encoding_of(b"\x81\x8d\x8f\x90\x9d\xff\n" * 3) is None
    assert decode_text(b"\x81\x8d\x8f\x90\x9d\xff\n" * 3) is None


def test_a_broken_byte_of_a_page_is_marked():
    assert decode_text("größe €".encode() + b"\xff") == "größe €\ufffd"


@given(st.text(), st.integers(1, 5), st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le"]))
def test_chunks_may_end_within_a_character(text, n_bytes, encoding):
    data = text.encode(encoding)
    chunks = [data[i : i + n_bytes] for i in range(0, len(data), n_bytes)]
    assert b"".join(to_utf8(chunks, encoding)).decode() == text


def test_what_has_no_meaning_stays_broken():
    # 81 has no meaning in Windows-1252, and half of a surrogate pair none in UTF-16.
    assert b"".join(to_utf8([b"a\x81\xe9"], "cp1252")) == b"a\x81" + "é".encode()
    half = b"".join(to_utf8([b"\x00\xd8a\x00"], "utf-16-le"))
    with pytest.raises(UnicodeDecodeError):
        half.decode()


def test_truncated_utf16_is_an_error():
    with pytest.raises(UnicodeDecodeError):
        list(to_utf8([b"a\x00b"], "utf-16-le"))
