"""Hook of mkdocs: pages that lie outside docs/ are pages of the site too, under these names."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

OUTSIDE = {
    "data/README.md": "fields.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    root = Path(config.config_file_path).parent
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return a page with links as the site needs them: all pages lie in one folder there."""
    for path, page in OUTSIDE.items():
        markdown = markdown.replace(f"(../{path}", f"({page}").replace(f"({path}", f"({page}")
    return markdown.replace("(../docs/", "(").replace("(docs/", "(")
