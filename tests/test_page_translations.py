"""Catalogs: complete, compiled as they are written, and with the values that a text names."""

import re

import pytest
from babel.messages.pofile import read_po

from recsys.page.list_table import LISTS
from recsys.page.reasons import REASONS
from recsys.page.translations import LOCALE, catalog_languages, translated

TEXTS = [*REASONS.values(), *(row.title for row in LISTS)]


@pytest.fixture(params=[language for language in catalog_languages() if language != "en"])
def catalog(request):
    with (LOCALE / request.param / "LC_MESSAGES" / "recsys.po").open("rb") as source:
        return read_po(source)


def test_six_languages_are_shipped():
    assert catalog_languages() == ["da", "de", "en", "es", "fr", "ko"]


def test_a_catalog_has_every_text_and_no_other(catalog):
    assert {message.id for message in catalog if message.id} == set(TEXTS)


def test_a_compiled_catalog_is_the_written_one(catalog):
    # If this fails: python scripts/compile_catalogs.py
    language = str(catalog.locale)
    for message in catalog:
        if message.id:
            assert translated(message.id, language) == message.string


def test_a_translation_names_the_values_of_its_text_and_says_something_else(catalog):
    for message in catalog:
        if message.id:
            values = re.findall(r"{.*?}", message.id)
            assert re.findall(r"{.*?}", message.string) == values
            assert message.string not in ("", message.id)
            assert message.string == message.string.strip()


def test_what_no_catalog_has_stays_english():
    assert translated("Popular Now", "en") == translated("Popular Now", "xx") == "Popular Now"
    assert translated("From Politics", "de") == "From Politics"
