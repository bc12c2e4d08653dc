"""The environment variables that commands read, and the secret keys in two of them."""

import difflib
from collections.abc import Iterable, Mapping

from recsys.errors import ConfigError

USER_KEY = "RECSYS_USER_KEY"  # hashes user ids, see `recsys.pseudonym`
RUN_KEY = "RECSYS_RUN_KEY"  # signs runs, see `recsys.published.signature`
VARIABLES = ("RECSYS_STORE", "RECSYS_PUBLISHED", "RECSYS_CONFIG", USER_KEY, RUN_KEY)
MIN_KEY_BYTES = 16  # shorter keys can be guessed
MAX_KEY_BYTES = 64  # BLAKE2b takes no more


def key_of(environment: Mapping[str, str], name: str) -> bytes | None:
    """Return the key of an environment variable as bytes; None if it is not set.

    Raises
    ------
    ConfigError
        If it does not have 16 to 64 bytes. The message does not have the key.

    Examples
    --------
    >>> key_of({RUN_KEY: "a secret of sixteen"}, RUN_KEY), key_of({}, RUN_KEY)
    (b'a secret of sixteen', None)
    """
    value = environment.get(name)
    if value is None:
        return None
    key = value.encode("utf-8", "surrogateescape")  # as the environment has it
    require_key_length(key, name)
    return key


def misspelled(environment: Iterable[str]) -> list[str]:
    """Return a question for each name that is nearly that of a variable which commands read.

    Examples
    --------
    >>> misspelled(["RECSYS_STROE", "RECSYS_TARGET", "RECSYS_STORE", "HOME"])
    ['RECSYS_STROE is no variable of recsys; did you mean RECSYS_STORE?']
    """
    return [
        f"{name} is no variable of recsys; did you mean {closest[0]}?"
        for name in sorted(environment)
        if name.startswith("RECSYS") and name not in VARIABLES
        for closest in [difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.85)]
        if closest
    ]


def require_key_length(key: bytes, name: str) -> None:
    """Check the length of a key; `name` is what a message calls it.

    Raises
    ------
    ConfigError
        If it does not have 16 to 64 bytes.
    """
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ConfigError(
            f"{name} must be a secret of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, has {len(key)}"
        )
