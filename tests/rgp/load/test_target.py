"""Whom a load test asks, and what it says if that cannot be."""

from __future__ import annotations

import pytest

from rgp.errors import RgpError, UsageError
from rgp.load.target import Target
from tests.scripted import RESET, Answer, reply, scripted


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://a",
        "http://",
        "http://a:x",
        "http://a:99999",
        "http://a?q=1",
        "http://u:p@a",
        "http://[::1",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a service"):
        Target.find(url)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="the API key"):
        Target.find("http://127.0.0.1:1", key)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda asked: reply(503, {"error": "no canary yet"}), "is not ready: no canary yet"),
        (lambda asked: reply(503, "a proxy's page"), "is not ready: it gave no reason"),
        (lambda asked: reply(404, {}), "is no rgp-serve: GET /readyz answered 404"),
        (lambda asked: reply(200 if asked.path == "/readyz" else 401, {"error": "key"}), "wants an API key"),
        (lambda asked: RESET, "gave no answer to GET /readyz: "),
    ],
)
def test_a_service_that_cannot_be_loaded_says_why(answer: Answer, message: str) -> None:
    with scripted(answer) as server, pytest.raises(RgpError, match=message):
        Target.find(server.url).require_ready()
