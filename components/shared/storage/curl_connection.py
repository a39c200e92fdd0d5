"""Connections to an S3 server through libcurl, which signs the requests and handles TLS and proxies."""

import ssl

import pycurl

from tilepipe.components.shared.storage.object_server import Target

_CONNECT_SECONDS = 5
_SILENCE_SECONDS = 30
_SILENCE_BYTES = 1000
"""Bytes per second; an answer that is slower for `_SILENCE_SECONDS` is given up."""
_BUFFER_BYTES = 512 * 1024


class CurlConnection:
    """A connection with a multi handle of its own.

    libcurl then works only on this request while an answer is read, and the next answers arrive in the kernel's buffers
    meanwhile.

    Args:
        target: The server.
    """

    def __init__(self, target: Target) -> None:
        self.idle_since = 0.0
        self._endpoint = target.endpoint
        self._handle, self._multi = _handle(target), pycurl.CurlMulti()
        self._pieces: list[bytes] = []

    def __del__(self) -> None:
        # The handles refer to each other: without this, the connection stays open until the next garbage collection.
        self._multi.close()
        self._handle.close()

    def is_reusable(self) -> bool:
        """Return True: libcurl opens another connection where the last one cannot be used again."""
        return True

    def send(self, path: str, max_bytes: int) -> None:
        """Send the request for a quoted path; an object of more than `max_bytes` is not read, if that is not 0."""
        self._pieces = []
        self._handle.setopt(pycurl.MAXFILESIZE_LARGE, max_bytes)
        self._handle.setopt(pycurl.URL, self._endpoint + path)
        self._handle.setopt(pycurl.WRITEFUNCTION, self._pieces.append)
        self._multi.add_handle(self._handle)
        self._multi.perform()

    def receive(self) -> bytes | None:
        """Read the object; None for any other answer.

        Raises:
            ConnectionError: There was no answer, or only a part of one.
        """
        while self._multi.perform()[1]:
            self._multi.select(1.0)
        _, _, failed = self._multi.info_read()
        self._multi.remove_handle(self._handle)
        if failed and failed[0][1] == pycurl.E_FILESIZE_EXCEEDED:
            return None
        if failed:
            raise ConnectionError(*failed[0][1:])
        pieces, self._pieces = self._pieces, []
        data = b"".join(pieces)
        if self._handle.getinfo(pycurl.RESPONSE_CODE) != 200:
            return None
        # Without a stated length, the end of the object looks the same as a lost connection.
        if self._handle.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T) != len(data):
            raise ConnectionError("the answer states no length")
        return data


def _handle(target: Target) -> pycurl.Curl:
    options: dict[int, object] = {
        pycurl.HTTPHEADER: [f"x-amz-security-token: {target.token}"] if target.token else [],
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
        pycurl.PROXY: target.proxy,
        pycurl.NOSIGNAL: True,
        pycurl.BUFFERSIZE: _BUFFER_BYTES,
        pycurl.CONNECTTIMEOUT: _CONNECT_SECONDS,
        pycurl.LOW_SPEED_TIME: _SILENCE_SECONDS,
        pycurl.LOW_SPEED_LIMIT: _SILENCE_BYTES,
    }
    if target.key_id:
        options[pycurl.AWS_SIGV4] = f"aws:amz:{target.region}:s3"
        options |= {pycurl.USERNAME: target.key_id, pycurl.PASSWORD: target.secret}
    system = ssl.get_default_verify_paths()  # libcurl's own default is another distribution's
    if target.ca_file or system.cafile:
        options[pycurl.CAINFO] = target.ca_file or system.cafile
    if system.capath and not target.ca_file:
        options[pycurl.CAPATH] = system.capath
    handle = pycurl.Curl()
    for option, value in options.items():
        handle.setopt(option, value)
    return handle
