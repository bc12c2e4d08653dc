import hashlib
import json

import pytest
from conftest import BY_HAND, RECEIVED_MS, SAMPLE

import recsys
from recsys import RecsysError, hashed_user
from recsys.errors import StoreError
from recsys.ingest.detect import expand
from recsys.ingest.load_files import load_files
from recsys.nightly.run import run_nightly
from recsys.operations.forget_user import forget_user
from recsys.pseudonym import fingerprint
from recsys.rows import from_ms
from recsys.store.database import Store

KEY, OTHER = b"a secret of sixteen", b"another secret of sixteen"


def test_a_hash_is_keyed_blake2b():
    expected = hashlib.blake2b(b"u0007", key=KEY, digest_size=16).hexdigest()
    assert hashed_user("u0007", KEY) == expected
    assert hashed_user("u0007", OTHER) != expected != hashed_user("u0008", KEY)
    assert len(fingerprint(KEY)) == 16
    assert fingerprint(KEY) != fingerprint(OTHER)
    for key in (b"", b"x" * 15, b"x" * 65):
        with pytest.raises(RecsysError, match="16 to 64 bytes"):
            hashed_user("u0007", key)


@pytest.fixture
def hashed(tmp_path):
    """A newsroom whose ids are hashed, published."""
    with Store(tmp_path / "s.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS, user_key=KEY)
        run_nightly(store, tmp_path / "p", as_of_ms=RECEIVED_MS, config=BY_HAND)
        yield store, tmp_path


def test_no_readers_id_is_in_any_byte(hashed):
    store, folder = hashed
    counts = store.counts()
    assert counts["users"] > 1900
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        data = path.read_bytes()
        for user in (b"u0007", b"u0100", b"u1234"):
            assert user not in data, path
    assert hashed_user("u0007", KEY).encode() in b"".join(path.read_bytes() for path in files)


def test_pages_are_of_the_reader(hashed):
    _, folder = hashed
    as_of = from_ms(RECEIVED_MS)

    def page(user):
        found = recsys.Recommender(folder / "p").recommend(user, as_of=as_of)
        return [slot.article_id for slots in found.values() for slot in slots]

    assert page(hashed_user("u0007", KEY)) != page(None)
    assert page("u0007") == page(None)


def test_a_store_holds_to_one_key(hashed, tmp_path):
    store, _ = hashed
    row = {"user_id": "u0007", "article_id": "a0001", "clicked_at": RECEIVED_MS - 1}
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps(row))
    n = store.counts()["clicks"]
    for key, says in ((None, "--hash-users"), (OTHER, "another key")):
        with pytest.raises(StoreError, match=says):
            load_files(store, [path], received_ms=RECEIVED_MS, user_key=key)
    assert store.counts()["clicks"] == n
    assert load_files(store, [path], received_ms=RECEIVED_MS, user_key=KEY).added["clicks"].new == 1
    with Store(tmp_path / "plain.db") as plain:
        load_files(plain, [path], received_ms=RECEIVED_MS)
        with pytest.raises(StoreError, match="not hashed"):
            load_files(plain, [path], received_ms=RECEIVED_MS, user_key=KEY)


def test_a_hashed_reader_is_forgotten(hashed):
    store, folder = hashed
    name = hashed_user("u0007", KEY)
    found = forget_user(store, folder / "p", name)
    assert (found.rows["users"], found.n_runs, found.left) == (1, 1, {})
