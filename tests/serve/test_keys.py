"""API keys: only hashes are kept, only right keys come in, and no faster than allowed."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from rgp.errors import UsageError
from rgp.serve.gate import OverloadedError
from rgp.serve.keys import Keys, new_key

SECRET = "rgp_secret"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
ROW = f'[[key]]\nname = "shop"\nsha256 = "{DIGEST}"\n'


def read(tmp_path: Path, text: str) -> Keys:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    return Keys.read(path)


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {SECRET}"}, {"authorization": f"bearer  {SECRET} "}, {"x-api-key": SECRET}]
)
def test_a_right_key_comes_in_by_either_header(headers: dict[str, str], tmp_path: Path) -> None:
    key = read(tmp_path, ROW).admit(Headers(headers))
    assert key is not None
    assert (key.name, key.admin) == ("shop", False)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {SECRET}"},
        {"authorization": f"Bearer {DIGEST}"},
        {"x-api-key": SECRET + "x"},
        {"x-api-key": "\xff"},
    ],
)
def test_any_other_is_401(headers: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(HTTPException) as refused:
        read(tmp_path, ROW).admit(Headers(headers))
    assert refused.value.status_code == 401
    assert SECRET not in refused.value.detail


def test_without_keys_everyone_may_ask_and_nobody_may_exchange_the_model() -> None:
    keys = Keys()
    assert keys.admit(Headers({})) is None
    with pytest.raises(HTTPException, match="admin = true"):
        keys.require_admin(None)


def test_only_an_admin_may_exchange_the_model(tmp_path: Path) -> None:
    headers = Headers({"x-api-key": SECRET})
    keys = read(tmp_path, ROW)
    with pytest.raises(HTTPException):
        keys.require_admin(keys.admit(headers))
    keys = read(tmp_path, ROW + "admin = true\n")
    keys.require_admin(keys.admit(headers))


def test_a_rate_allows_a_burst_of_twice_as_many_then_its_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    keys, headers = read(tmp_path, ROW + "rate = 3\n"), Headers({"x-api-key": SECRET})
    for _ in range(6):
        keys.admit(headers)
    with pytest.raises(OverloadedError, match="'shop' is allowed 3 requests a second: try again in 1 s"):
        keys.admit(headers)
    now[0] += 1
    for _ in range(3):
        keys.admit(headers)
    with pytest.raises(OverloadedError):
        keys.admit(headers)
    now[0] += 1000  # nothing is saved up beyond the burst
    for _ in range(6):
        keys.admit(headers)
    with pytest.raises(OverloadedError):
        keys.admit(headers)


def test_a_slow_rate_allows_one_at_a_time(tmp_path: Path) -> None:
    keys, headers = read(tmp_path, ROW + "rate = 0.1\n"), Headers({"x-api-key": SECRET})
    keys._tokens["shop"] = (1.0, time.monotonic())
    keys.admit(headers)
    with pytest.raises(OverloadedError, match="try again in 10 s"):
        keys.admit(headers)


def test_a_new_key_is_random_and_its_table_admits_it_without_holding_it(tmp_path: Path) -> None:
    key, table = new_key("shop")
    assert key != new_key("shop")[0]
    assert key not in table
    assert read(tmp_path, table).admit(Headers({"x-api-key": key})) is not None


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, 'a"'])
def test_a_name_that_would_break_the_file_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--new-key"):
        new_key(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give one"),
        ("key = 3", "give one"),
        ("other = 1\n" + ROW, "give one"),
        ("[[key]", "not TOML"),
        ('[[key]]\nsha256 = "x"', "has no name"),
        ('[[key]]\nname = "a"', "sha256 must be 64"),
        ('[[key]]\nname = "a"\nsha256 = "00"', "make it with --new-key a"),
        (ROW + "rate = 0", "rate is 0"),
        (ROW + "rate = true", "rate is True"),
        (ROW + "rate = nan", "rate is nan"),
        (ROW + 'admin = "yes"', "admin is 'yes'"),
        (ROW + "admim = true", "unknown entry 'admim'"),
        (ROW + ROW, "two keys have the same name"),
    ],
)
def test_a_file_that_is_none_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read(tmp_path, text)
    assert "keys.toml" in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory: give --keys"):
        Keys.read(tmp_path / "nothing")
