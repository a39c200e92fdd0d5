import pytest

from tilepipe.components.shared.storage.web_reason import server_reason

SIGNATURE = "c2VjcmV0LXNpZ25hdHVyZQ=="
URI = "https://account.blob.core.windows.net/c/x.tif?sv=2021-08-06&se=2024-01-01&sig=c2VjcmV0LXNpZ25hdHVyZQ%3D%3D"
AZURE = f"""\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code><Message>Server failed
to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.
RequestId:12ab-34cd
Time:2024-01-02T03:04:05.6Z</Message><AuthenticationErrorDetail>Signature not valid in the specified time frame: Start
[Mon, 01 Jan 2024 00:00:00 GMT] - sig={SIGNATURE}</AuthenticationErrorDetail></Error>""".encode()


def test_azures_reason_is_one_line_without_the_signature():
    reason = server_reason(URI, AZURE)
    assert reason.startswith("AuthenticationFailed Server failed to authenticate the request.")
    assert "Signature not valid in the specified time frame: Start [Mon, 01 Jan" in reason
    assert SIGNATURE not in reason
    assert "RequestId" not in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<Error><Code>RequestExpired</Code><StringToSign>secret</StringToSign></Error>", "RequestExpired"),
        (b'{"error": {"code": 403, "message": "Token expired."}}', "403 Token expired"),
        (b'{"detail": "Not allowed"}', "Not allowed"),
        (b"public access is not permitted\x00", "public access is not permitted"),
        (b"signature=abc is wrong", "signature=*** is wrong"),
        (b"<html><body>Forbidden</body></html>", ""),
        (b"{", ""),
        (b"", ""),
        (b"x" * 1000, "x" * 300 + "..."),
    ],
)
def test_reasons_of_other_servers(body, expected):
    assert server_reason("https://example.org/x", body).removesuffix("...") == expected.removesuffix("...")
