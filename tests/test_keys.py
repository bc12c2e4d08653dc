import pytest

from recsys.errors import ConfigError
from recsys.keys import RUN_KEY, key_of


@pytest.mark.parametrize("value", ["", "x", "x" * 15, "x" * 65, "x" * 100_000])
def test_a_key_of_the_wrong_length_is_refused_and_not_printed(value):
    with pytest.raises(ConfigError, match=f"{RUN_KEY} must be .* 16 to 64 bytes, has") as refused:
        key_of({RUN_KEY: value}, RUN_KEY)
    assert len(str(refused.value)) < 100
    assert "xxx" not in str(refused.value)


def test_a_key_may_have_any_bytes():
    assert key_of({RUN_KEY: "\udcff" * 16}, RUN_KEY) == b"\xff" * 16
    assert key_of({RUN_KEY: "ü" * 8}, RUN_KEY) == "ü".encode() * 8
