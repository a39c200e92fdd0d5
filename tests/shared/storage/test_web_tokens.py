import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.storage.web_tokens import TOKENS, authorization


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://data.example.org/x.tif", "abc=="),
        ("https://data.example.org:8443/x.tif", "port"),
        ("https://example.org/x.tif", ""),
        ("https://sub.data.example.org/x.tif", ""),
        ("https://data.example.org.evil.net/x.tif", ""),
        ("http://localhost:8000/x.tif", "local"),
    ],
)
def test_each_token_is_of_one_host(monkeypatch, url, token):
    monkeypatch.setenv(TOKENS, " Data.Example.org=abc==  data.example.org:8443=port localhost:8000=local ")
    assert authorization(url) == ({"Authorization": f"Bearer {token}"} if token else {})


def test_without_the_variable_nothing_is_sent(monkeypatch):
    monkeypatch.delenv(TOKENS, raising=False)
    assert authorization("https://data.example.org/x.tif") == {}


@pytest.mark.parametrize(
    "value", ["secret", "=secret", "data.example.org=", "https://data.example.org=secret", "a=sécret"]
)
def test_malformed_tokens_are_refused_and_not_shown(monkeypatch, value):
    monkeypatch.setenv(TOKENS, value)
    with pytest.raises(ParameterError, match="must be host=token") as caught:
        authorization("https://data.example.org/x.tif")
    assert "secret" not in str(caught.value)


def test_tokens_are_not_sent_unencrypted(monkeypatch):
    monkeypatch.setenv(TOKENS, "data.example.org=secret")
    with pytest.raises(ParameterError, match="must be sent over https://") as caught:
        authorization("http://data.example.org/x.tif")
    assert "secret" not in str(caught.value)
