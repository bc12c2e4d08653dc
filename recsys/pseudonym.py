"""Replace user ids by keyed hashes.

Somebody who has the store but not the secret key cannot find out which user a hash belongs to.
"""

from hashlib import blake2b

from recsys.ids import Id, spelled_id
from recsys.keys import require_key_length


def hashed_user(user_id: Id, key: bytes) -> str:
    """Hash a user id with a secret key, for stores ingested with `--hash-users`.

    Parameters
    ----------
    user_id
        The site's own id of the user: a text, or a whole number.
    key
        The publisher's secret, the same as at ingest.

    Returns
    -------
    str
        32 hexadecimal digits: keyed BLAKE2b of 128 bits. Among a million million users, two
        share a hash with a probability below 1 in 10^14.

    Raises
    ------
    ConfigError
        If the key is shorter than 16 bytes, or longer than the 64 bytes that BLAKE2b takes.
    """
    require_key_length(key, "the key that hashes user ids")
    spelled = spelled_id(user_id).encode("utf-8", "surrogatepass")
    return blake2b(spelled, key=key, digest_size=16).hexdigest()


def key_fingerprint(key: bytes) -> str:
    """Return 16 hexadecimal digits that identify a key without revealing it.

    Parameters
    ----------
    key
        The publisher's secret.

    Raises
    ------
    ConfigError
        If the key has the wrong length, see `hashed_user`.
    """
    return hashed_user("recsys: fingerprint of a key", key)[:16]
