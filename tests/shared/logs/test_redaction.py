import os
import sys
import threading

import pytest

from tilepipe.components.shared.logs.redaction import redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET http://user:word@host:5000/api failed", "GET http://***@host:5000/api failed"),
        ("postgresql+psycopg://u:p%40ss@db/mlflow", "postgresql+psycopg://***@db/mlflow"),
        ("https://h/x?X-Amz-Signature=abc&v=1", "https://h/x?X-Amz-Signature=***&v=1"),
        ("https://h/x?v=1&sig=a%2Fb&se=2026", "https://h/x?v=1&sig=***&se=2026"),
        ("https://h/x?v=1&TOKEN=abc'", "https://h/x?v=1&TOKEN=***'"),
        ("s3://bucket/a@b.tif and mail@example.com", "s3://bucket/a@b.tif and mail@example.com"),
        ("https://h/a?b=c&design=1", "https://h/a?b=c&design=1"),
    ],
)
def test_credentials_in_addresses_are_removed(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD", "TILEPIPE_STAC_TOKEN", "WANDB_API_KEY"],
)
def test_secrets_of_the_environment_are_removed(monkeypatch, name):
    monkeypatch.setenv(name, "canary-4711")
    assert redacted("signed with canary-4711!") == "signed with ***!"


def test_each_token_of_a_list_is_removed(monkeypatch):
    monkeypatch.setenv("TILEPIPE_WEB_TOKENS", "a.example=first-token b.example=second-token")
    assert redacted("second-token, first-token of a.example") == "***, *** of a.example"


def test_settings_are_not_taken_for_secrets(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")
    assert redacted("false at /var/run/token") == "false at /var/run/token"


def test_variables_that_another_thread_removes_do_no_harm():
    """MLflow's telemetry sets and removes one while the first lines of a step are logged."""
    interval, end = sys.getswitchinterval(), threading.Event()

    def change():
        while not end.is_set():
            os.environ["TILEPIPE_TEST_SESSION"] = "1"
            os.environ.pop("TILEPIPE_TEST_SESSION")

    other = threading.Thread(target=change)
    sys.setswitchinterval(1e-6)
    other.start()
    try:
        assert {redacted("no secret") for _ in range(1000)} == {"no secret"}
    finally:
        end.set()
        other.join()
        sys.setswitchinterval(interval)
