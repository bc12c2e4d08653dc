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
        typer.Option("--all", help="Replace the vectors that the store has, whoever made them."),
    ] = False,
    removes: Annotated[
        bool,
        typer.Option(
            "--remove",
            help="Only delete the vectors of the store, so that others can be ingested.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Give articles without a vector one of their text, by a model that is on this machine."""
    if removes:
        if replaces_all or model is not None:
            raise typer.BadParameter("--remove makes no vectors; leave --all and --model out")
        with Store(store, must_exist=True) as opened:
            n_removed = opened.vectors.count()
            opened.vectors.delete_all()
        if as_json:
            print_json({"n_removed": n_removed})
        else:
            out.print(f"deleted the vectors of {n_removed} articles", markup=False)
        return
    name, encode = load_encoder(model)
    with Store(store, must_exist=True) as opened:
        report = embed_articles(opened, name, encode, replaces_all=replaces_all)
    if as_json:
        print_json(asdict(report))
        return
    said = f"{report.n_embedded} articles got a vector of {report.model}, {report.n_known} had one,"
    said += f" {report.n_without_text} have no text"
    if report.n_changed:
        said += f"; {report.n_changed} changed meanwhile: run this again"
    out.print(said, markup=False)
