"""Recognise the encoding of a text file, and convert it to UTF-8 in bounded memory.

A byte order mark decides, then the null bytes of UTF-16 and UTF-32, then whether the bytes are
UTF-8. Bytes that are not are read in an older encoding only if that is certain enough: the letters
must be those of one language (Latin scripts), or charset-normalizer must find one encoding that is
better than the others (other scripts). A file of UTF-8 with single broken lines stays UTF-8.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

SAMPLE_BYTES = 1 << 20  # the beginning of a file, by which its encoding is recognised
MAX_EVIDENCE_BYTES = 64 << 10  # charset-normalizer takes seconds for a megabyte
UTF_8 = "utf-8"
_MARKS = (  # UTF-32 first, because its mark begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, UTF_8),
)
# Which of each four bytes are null where the text is ASCII.
_NULLS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
# The beginning of a character of UTF-8, as damage leaves it. Letters of other encodings are mostly
# single bytes between ASCII.
_CUT_UTF_8 = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
# The letters outside ASCII of the languages that each encoding was made for. Where several
# encodings fit, the first one is taken, as it is the most frequent on the web.
_LATIN_LETTERS = {
    "cp1252": (
        "äöüßé",  # German
        "àâæçéèêëîïôœùûü",  # French
        "áéíñóúüªº",  # Spanish
        "áâãàçéêíóôõúüªº",  # Portuguese
        "àèéìíîòóù",  # Italian
        "åäöéæøü",  # Swedish, Finnish, Danish, Norwegian
        "áâéèêëíïóôöúûüç",  # Dutch
        "áðéíóúýþæö",  # Icelandic
    ),
    "cp1250": (
        "ąćęłńóśźż",  # Polish
        "áčďéěíňóřšťúůýžäĺľôŕ",  # Czech, Slovak
        "áéíóöőúüű",  # Hungarian
        "ăâîşţ",  # Romanian
        "čćđšž",  # Croatian, Slovenian, Bosnian
    ),
    "cp1254": ("çğıöşüâîûİ",),  # Turkish
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"),  # Lithuanian, Latvian, Estonian
}
_MARKS_IN_TEXT = frozenset("“”„‘’‚‹›«»–—…•·€£¥§°©®™¿¡\xa0\xad²³½´")
_OTHER_SCRIPTS = (
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1255",
    "cp1256",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
)
_OF_ONE_BYTE = _OTHER_SCRIPTS[:5]
_KANA, _HALF_KANA = ("\u3041", "\u30ff"), ("\uff61", "\uff9f")
MIN_KANA = 0.2  # of Japanese text, which Korean encodings can read as well
MIN_EVIDENCE = 32  # broken bytes; fewer among lines of ASCII may be damage
MAX_CHAOS = 0.1  # of charset-normalizer; above it, the text looks like a wrong decoding


def encoding_of(sample: bytes) -> str | None:
    r"""Return the encoding of a text by its beginning; None if it cannot be recognised.

    Parameters
    ----------
    sample
        The first `SAMPLE_BYTES` of the text, or all of it.

    Examples
    --------
    >>> encoding_of("Größe".encode()), encoding_of("article_id".encode("utf-16-le"))
    ('utf-8', 'utf-16-le')
    >>> encoding_of("a1,Der Bürgermeister von Köln\n".encode("cp1252"))
    'cp1252'
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name
    # Four characters are enough, as the texts that are read here begin with names in ASCII.
    by_nulls = _NULLS.get(tuple(byte == 0 for byte in sample[:4]))
    if by_nulls:
        return by_nulls
    whole = _without_cut_character(sample)
    try:
        whole.decode(UTF_8)
        return UTF_8
    except UnicodeDecodeError:
        text = whole.decode(UTF_8, "surrogateescape")
    n_broken = sum("\udc80" <= character <= "\udcff" for character in text)
    n_valid = sum(character > "\x7f" for character in text) - n_broken
    # By chance, a fifth of the bytes of Chinese in Big5 or GB 18030 is valid UTF-8.
    if 2 * n_valid >= n_broken:
        return UTF_8
    lines = [line for line in sample.split(b"\n") if line.strip()]
    foreign = [line for line in lines if not line.isascii()]
    evidence = b"\n".join(foreign)[:MAX_EVIDENCE_BYTES]
    latin = _latin_encoding(evidence)
    if latin:
        return latin
    if 2 * len(foreign) >= len(lines) or n_broken >= MIN_EVIDENCE:
        other = _other_encoding(evidence)
        if other:
            return other
    return None if 2 * len(foreign) > len(lines) else UTF_8


def _without_cut_character(sample: bytes) -> bytes:
    """Return a sample without the bytes of a UTF-8 character that its end cuts off."""
    for n_bytes in (1, 2, 3):
        lead = sample[-n_bytes : len(sample) - n_bytes + 1]
        if lead >= b"\xc0":
            length = 2 + (lead >= b"\xe0") + (lead >= b"\xf0")
            return sample[:-n_bytes] if n_bytes < length else sample
    return sample


def _latin_encoding(evidence: bytes) -> str | None:
    """Return the encoding in which all letters of the lines are those of one language."""
    if _CUT_UTF_8.sub(b"", evidence).isascii():
        return None
    for encoding, languages in _LATIN_LETTERS.items():
        text = evidence.decode(encoding, "replace")
        if any(
            b.isupper() and b > "\x7f" and a.islower() for a, b in zip(text, text[1:], strict=False)
        ):
            continue  # a capital within a word
        found = {c for c in text if c > "\x7f"} - _MARKS_IN_TEXT
        if found and any(found <= {*letters, *letters.upper()} for letters in languages):
            return encoding
    return None


def _other_encoding(evidence: bytes) -> str | None:
    """Return the encoding that charset-normalizer finds best; None if it finds none or several."""
    # Imported here, because every command would otherwise wait for the import.
    import charset_normalizer

    found = list(charset_normalizer.from_bytes(evidence, cp_isolation=list(_OTHER_SCRIPTS)))
    if not found or found[0].chaos > MAX_CHAOS:
        return None
    best = {str(match): match for match in found if _fit(match) == _fit(found[0])}
    if len(best) > 1:
        best = {text: match for text, match in best.items() if _share(text, _KANA) > MIN_KANA}
    if len(best) != 1:
        return None
    ((text, match),) = best.items()
    # Any bytes A1 to DF are half-width kana, which are rare in text.
    if _share(text, _HALF_KANA) > 0.5:
        return None
    # In an encoding of one byte a character, any bytes have a meaning; the language must be known.
    return match.encoding if match.encoding not in _OF_ONE_BYTE or match.coherence else None


def _fit(match: "CharsetMatch") -> tuple[float, float]:
    return match.chaos, -match.coherence


def _share(text: str, characters: tuple[str, str]) -> float:
    """Return the share of the characters outside ASCII that lie in a range."""
    first, last = characters
    foreign = [character for character in text if character > "\x7f"]
    return sum(first <= character <= last for character in foreign) / len(foreign)


def decode_text(data: bytes) -> str | None:
    r"""Decode a whole text; None if its encoding cannot be recognised.

    Single bytes that are broken become U+FFFD.

    Examples
    --------
    >>> decode_text("\ufeffGröße".encode("utf-16-be"))
    'Größe'
    """
    encoding = encoding_of(data[:SAMPLE_BYTES])
    return encoding and data.decode(encoding, "replace").removeprefix("\ufeff")


def unicode_as_utf8(start: bytes) -> bytes:
    """Convert the beginning of a file to UTF-8 if it is UTF-16 or UTF-32; return other bytes."""
    encoding = encoding_of(start)
    if encoding is None or not encoding.startswith(("utf-16", "utf-32")):
        return start
    return start.decode(encoding, "ignore").encode()


def to_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Convert the chunks of a text to UTF-8, chunk by chunk.

    Bytes without a meaning stay as they are, so that their line is not UTF-8 and can be rejected.

    Raises
    ------
    UnicodeDecodeError
        If UTF-16 or UTF-32 ends within a character, or holds a number that is no character.
    """
    if encoding == UTF_8:
        yield from chunks
        return
    errors = "surrogatepass" if encoding.startswith("utf") else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for chunk in chunks:
        yield decoder.decode(chunk).encode(UTF_8, errors)
    yield decoder.decode(b"", final=True).encode(UTF_8, errors)
