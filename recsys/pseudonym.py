"""Readers' ids as keyed hashes: who has the store but not the key cannot tell who they are."""

from hashlib import blake2b

from recsys.errors import RecsysError

MIN_KEY_BYTES = 16  # bytes: shorter ones can be guessed


def hashed_user(user_id: str, key: bytes) -> str:
    """Return what stands for a reader where ids are hashed.

    Parameters
    ----------
    user_id
        The reader, as the site knows them.
    key
        The publisher's secret, the same as at ingest.

    Returns
    -------
    str
        32 hexadecimal digits: keyed BLAKE2b of 128 bits, so that two of a million million
        readers share one with a chance below 1 in 10^14.

    Raises
    ------
    RecsysError
        If the key is shorter than 16 bytes, or longer than the 64 that BLAKE2b takes.
    """
    if not MIN_KEY_BYTES <= len(key) <= blake2b.MAX_KEY_SIZE:
        raise RecsysError(f"the key of readers' ids must have 16 to 64 bytes, it has {len(key)}")
    return blake2b(user_id.encode("utf-8", "surrogatepass"), key=key, digest_size=16).hexdigest()


def fingerprint(key: bytes) -> str:
    """Return what tells one key from another, and nothing of the key."""
    return hashed_user("recsys: fingerprint of a key", key)[:16]
