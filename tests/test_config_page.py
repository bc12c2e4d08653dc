import pytest

from recsys.config_page import PageConfig
from recsys.errors import ConfigError


def test_a_language_is_a_code():
    found = PageConfig(language="de-AT", languages={"front": "fr"})
    assert (found.language, found.languages) == ("de-AT", {"front": "fr"})
    with pytest.raises(ConfigError, match="language must be a code such as `de`.* got 'German'"):
        PageConfig(language="German")
    with pytest.raises(ConfigError, match=r"languages\.front must be a code .* got ''"):
        PageConfig(languages={"front": ""})
    with pytest.raises(ConfigError, match=r"languages\.front must be a text"):
        PageConfig(languages={"front": 3})
