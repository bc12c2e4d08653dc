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
from recsys.pseudonym import key_fingerprint
from recsys.rows import from_ms
from recsys.store.database import Store

KEY, OTHER = b"a secret of sixteen", b"another secret of sixteen"


def test_a_hashed_user_is_keyed_blake2b_of_the_id():
    expected = hashlib.blake2b(b"u0007", key=KEY, digest_size=16).hexdigest()
    assert hashed_user("u0007", KEY) == expected
    assert hashed_user("u0007", OTHER) != expected != hashed_user("u0008", KEY)
    assert len(key_fingerprint(KEY)) == 16
    assert key_fingerprint(KEY) != key_fingerprint(OTHER)
    for key in (b"", b"x" * 15, b"x" * 65):
        with pytest.raises(RecsysError, match="16 to 64 bytes"):
            hashed_user("u0007", key)


@pytest.fixture
def hashed(tmp_path):
    """A store of the sample with hashed user ids and one published run, and its folder."""
    with Store(tmp_path / "s.db") as store:
        load_files(store, expand([SAMPLE]), received_ms=RECEIVED_MS, user_key=KEY)
        run_nightly(store, tmp_path / "p", as_of_ms=RECEIVED_MS, config=BY_HAND)
        yield store, tmp_path


def test_no_file_contains_a_user_id(hashed):
    store, folder = hashed
    counts = store.counts()
    assert counts["users"] > 1900
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        data = path.read_bytes()
        for user_id in (b"u0007", b"u0100", b"u1234"):
            assert user_id not in data, path
    assert hashed_user("u0007", KEY).encode() in b"".join(path.read_bytes() for path in files)


def test_a_page_is_personal_for_the_hashed_id_only(hashed):
    _, folder = hashed
    as_of = from_ms(RECEIVED_MS)

    def article_ids(user_id):
        page = recsys.Recommender(folder / "p").recommend(user_id, as_of=as_of)
        return [slot.article_id for slots in page.values() for slot in slots]

    assert article_ids(hashed_user("u0007", KEY)) != article_ids(None)
    assert article_ids("u0007") == article_ids(None)


def test_a_store_accepts_the_key_of_its_first_ingest_only(hashed, tmp_path):
    store, _ = hashed
    row = {"user_id": "u0007", "article_id": "a0001", "clicked_at": RECEIVED_MS - 1}
    path = tmp_path / "more.jsonl"
    path.write_text(json.dumps(row))
    n_clicks = store.counts()["clicks"]
    for key, message in ((None, "--hash-users"), (OTHER, "another key")):
        with pytest.raises(StoreError, match=message):
            load_files(store, expand([path]), received_ms=RECEIVED_MS, user_key=key)
    assert store.counts()["clicks"] == n_clicks
    assert (
        load_files(store, expand([path]), received_ms=RECEIVED_MS, user_key=KEY).added["clicks"].new
        == 1
    )
    with Store(tmp_path / "plain.db") as plain:
        load_files(plain, expand([path]), received_ms=RECEIVED_MS)
        with pytest.raises(StoreError, match="not hashed"):
            load_files(plain, expand([path]), received_ms=RECEIVED_MS, user_key=KEY)


def test_a_hashed_user_can_be_forgotten(hashed):
    store, folder = hashed
    forgotten = forget_user(store, folder / "p", hashed_user("u0007", KEY))
    assert (forgotten.rows["users"], len(forgotten.runs), forgotten.left) == (1, 1, {})
