"""Compile the gettext catalogs of recsys/page/locale: each recsys.po into the recsys.mo beside it.

    python scripts/compile_catalogs.py

Exit status: 0 written.
"""

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE = Path(__file__).parents[1] / "recsys" / "page" / "locale"

if __name__ == "__main__":
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/recsys.po")):
        with path.open("rb") as source, path.with_suffix(".mo").open("wb") as compiled:
            write_mo(compiled, read_po(source))
