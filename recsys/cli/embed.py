"""The command that gives articles vectors of an encoder."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.options import JsonOption, StoreOption
from recsys.cli.terminal import out, print_json
from recsys.operations.embed_articles import embed_articles, load_encoder
from recsys.store.database import Store


def embed(
    store: StoreOption,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A folder with a model of model2vec or sentence-transformers. By default the model"
            " of recsys[embed]."
        ),
    ] = None,
    replaces_all: Annotated[
        bool,
        typer.Option("--all", help="First delete the vectors that the store has."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Give articles without a vector one of their text, by a model that is on this machine."""
    name, encode = load_encoder(model)
    with Store(store, must_exist=True) as opened:
        report = embed_articles(opened, name, encode, replaces_all=replaces_all)
    if as_json:
        print_json(asdict(report))
    else:
        out.print(
            f"{report.n_embedded} articles got a vector of {report.model},"
            f" {report.n_known} had one, {report.n_without_text} have no text",
            markup=False,
        )
