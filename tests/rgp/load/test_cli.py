"""rgp-bench serve as a person types it: tables, JSON, pictures, the search, and what it refuses."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rgp import bench_cli
from tests.scripted import Answer, Asked, probed, reply, scripted
from tests.serve.serving import serving
from tests.serve.tiny import write_bundle

INFO = {
    "name": "net",
    "architecture": "resnet50",
    "sha256": "abc",
    "labels": ["many"],
    "engine": {"engine": "ort", "version": "1", "device": "cpu"},
    "plan": {"threads": 1, "lanes": 2},
}
QUICK = ["--duration", "0.5", "--warmup", "0.1"]


@pytest.fixture(autouse=True)
def _a_folder_of_its_own_and_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RGP_API_KEY", raising=False)
    Path("images").mkdir()
    Path("images/a.png").write_bytes(b"an image")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert bench_cli.main(["serve", *arguments, "--images", "images"]) == 0
    out, err = capsys.readouterr()
    assert not err.strip()
    return out


def failed(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert bench_cli.main(["serve", *arguments]) == code
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("rgp-bench: error: ")
    return err


def answer(asked: Asked) -> bytes:
    return reply()


def test_a_real_service_is_loaded_with_images_that_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with serving(bundle.path, tmp_path / "log") as server:
        assert bench_cli.main(["serve", server.url, "--rate", "20", "--duration", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (each,) = found["runs"]
    assert each["n"] == each["latency_ms"]["n"] == sum(stage["n"] for stage in each["stages_ms"].values()) / 5 > 0
    assert found["service"]["sha256"] == bundle.sha256
    assert {"engine", "plan"} <= set(found["service"])
    assert 30_000 < found["settings"]["mean_bytes"] < 60_000


def test_one_rate_is_measured_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(probed(answer, INFO)) as server:
        printed = run(capsys, server.url, "--rate", "100", *QUICK)
    assert {asked.body for asked in server.images} == {b"an image"}
    assert f"{server.url}: net, ort on cpu, 1 threads x 2 lanes" in printed
    assert "poisson arrivals for 0.5 s after 0.1 s of warm-up, seed 0" in printed
    for word in ("offered", "achieved", "goodput", "429 p99", "late p99", "inference"):
        assert word in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if line[:1] in "┏┃┡│└")


def test_the_json_has_every_figure_with_its_n_and_who_was_measured_from_where(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with scripted(probed(answer, INFO)) as server:
        printed = json.loads(run(capsys, server.url, "--rates", "60,120", *QUICK, "--json", "-o", "found.json"))
    assert json.loads(Path("found.json").read_text()) == printed
    assert printed["service"] == {name: INFO[name] for name in ("name", "architecture", "sha256", "engine", "plan")}
    assert {"cpu", "cores", "versions"} <= set(printed["client"])
    assert printed["settings"]["seed"] == 0
    assert printed["settings"]["mean_bytes"] == 8
    assert printed["found"] is None
    assert [each["rate"] for each in printed["runs"]] == [60, 120]
    for each in printed["runs"]:
        assert each["n"] == each["latency_ms"]["n"] == each["late_ms"]["n"] == each["stages_ms"]["total"]["n"] > 0
        assert each["offered"] == each["goodput"] == each["n"] / 0.5
        assert each["stages_ms"]["total"]["p50"] == 10.5
        assert 0 < each["latency_ms"]["p50"] <= each["latency_ms"]["max"]


def test_constant_arrivals_are_so_many_and_the_seed_decides_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(probed(answer)) as server:

        def n(*arguments: str) -> int:
            found: dict[str, Any] = json.loads(run(capsys, server.url, "--rate", "100", *QUICK, "--json", *arguments))
            return int(found["runs"][0]["n"])

        assert n("--arrivals", "constant") == 50
        counts = [n("--seed", seed) for seed in ("1", "1", "2", "3")]
    assert counts[0] == counts[1]
    assert len(set(counts)) > 1


def test_refusals_and_failures_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [reply(), reply(429, {"error": "full"}), reply(413, {"error": "the body is too large"}), None]
    turn = iter(range(10_000))

    def in_turn(asked: Asked) -> bytes | None:
        return answers[next(turn) % 4]

    with scripted(probed(in_turn)) as server:
        printed = run(capsys, server.url, "--rate", "100", *QUICK)
    assert "no /info" in printed
    assert ": the body is too large" in printed
    assert "at 100/s: no answer x " in printed


def test_goodput_counts_what_came_within_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    def slow(asked: Asked) -> bytes:
        time.sleep(0.05)
        return reply()

    with scripted(probed(slow)) as server:
        (each,) = json.loads(run(capsys, server.url, "--rate", "50", *QUICK, "--bound", "40", "--json"))["runs"]
    assert each["bound_ms"] == 40
    assert (each["goodput"], each["latency_ms"]["n"] == each["n"]) == (0, True)


def test_the_search_prints_every_probe_and_the_rate_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    turn = iter(range(100_000))

    def refuse_after_the_first_probe(asked: Asked) -> bytes:
        return reply() if next(turn) < 700 else reply(429, {"error": "full"})

    with scripted(probed(refuse_after_the_first_probe)) as server:
        shown = run(capsys, server.url, "--p99", "60000", "--duration", "1", "--warmup", "0", "-o", "found.json")
    found = json.loads(Path("found.json").read_text())
    assert found["found"] == {"rate": 600, "p99_ms": 60000}
    assert [round(each["rate"]) for each in found["runs"]] == [600, 1200, 849, 714, 654, 627]
    assert [each["rejected"]["n"] > 0 for each in found["runs"]] == [False] + 5 * [True]
    assert "600 requests a second: the highest rate found whose p99 is within 60000 ms" in shown
    assert (shown.count("passes"), shown.count(" x 429")) == (1, 5)


def test_a_search_that_fails_at_once_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(probed(lambda asked: reply(429, {"error": "full"}))) as server:
        why = failed(capsys, 1, server.url, "--p99", "15", "--duration", "1", "--images", "images")
    assert "no rate has a p99 within 15 ms: 600/s, the lowest that gives a p99 in --duration 1, already fails" in why
    assert " x 429)" in why


def test_the_pictures_carry_n_and_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(probed(answer, {**INFO, "name": "n$e$t"})) as server:
        run(capsys, server.url, "--rates", "50,100", *QUICK, "--plot", "sweep.svg")
        printed = json.loads(run(capsys, server.url, "--rate", "100", *QUICK, "--json", "--plot", "one.svg"))
        run(capsys, server.url, "--rate", "100", *QUICK, "--plot", "one.png")
    sweep, one = Path("sweep.svg").read_text(), Path("one.svg").read_text()
    for svg in (sweep, one):
        ElementTree.fromstring(svg)
        assert "n$e$t, ort on cpu" in svg
    for text in ("p50", "p99", "goodput: within 10000 ms", "offered requests a second", "n="):
        assert text in sweep
    assert f"200, n={printed['runs'][0]['n']}" in one
    assert Path("one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("given", ["option", "environment", "both"])
def test_the_key_comes_from_its_option_or_else_from_the_environment(
    given: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if given != "option":
        monkeypatch.setenv("RGP_API_KEY", "secret" if given == "environment" else "wrong")
    arguments = () if given == "environment" else ("--key", "secret")
    with scripted(probed(answer, INFO)) as server:
        printed = run(capsys, server.url, "--rate", "50", *QUICK, "--json", *arguments)
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer secret"}
    assert "secret" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "0"], "'0' is not a number above 0"),
        (["--rate", "nan"], "'nan' is not a number above 0"),
        (["--rates", "10,x"], "'x' is not a number above 0"),
        (["--p99", "-1"], "'-1' is not a number above 0"),
        (["--warmup", "-1"], "'-1' is not a number from 0"),
        (["--seed", "0.5"], "'0.5' is not a whole number from 0"),
        (["--rate", "5", "--p99", "5"], "not allowed with argument"),
        (["--plot", "p.jpg"], "'p.jpg' must end in .svg or .png"),
        (["-o", "images"], "'images' cannot be written"),
        (["-o", "none/x.json"], "'none/x.json' cannot be written"),
        (["--colour"], "unrecognized arguments: --colour (see rgp-bench serve --help)"),
    ],
)
def test_usage_errors_are_one_line_before_anything_is_asked(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in failed(capsys, 2, "http://127.0.0.1:1", *arguments)


def test_what_can_only_be_known_later_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(probed(answer)) as server:
        Path("empty").mkdir()
        assert "empty: no image in it" in failed(capsys, 2, server.url, "--images", "empty")
        assert "none: no such folder" in failed(capsys, 2, server.url, "--images", "none")
        few = failed(capsys, 2, server.url, "--images", "images", "--rate", "0.001", *QUICK)
        assert "at 0.001 a second no request falls into --duration 0.5: give more of either" in few
    assert not server.images


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "cannot connect to http://127.0.0.1:"),
        (lambda asked: reply(503, {"error": "draining"}), "is not ready: draining: wait, or see its log"),
        (lambda asked: reply(404, {}), "is no rgp-serve"),
        (lambda asked: reply(200 if asked.path == "/readyz" else 401), "wants an API key: give one with --key"),
    ],
)
def test_a_service_that_cannot_be_loaded_is_one_line(
    answer: Answer | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(answer or (lambda asked: reply())) as server:
        if answer:
            assert message in failed(capsys, 1, server.url)
    if not answer:
        assert message in failed(capsys, 1, server.url)


def test_it_needs_neither_an_engine_nor_httpx_nor_a_decoder_for_a_folder_of_images(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "httpx", "fastapi", "PIL", "torch", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("rgp.load")]:
        monkeypatch.delitem(sys.modules, name)
    with scripted(probed(answer)) as server:
        run(capsys, server.url, "--rate", "50", *QUICK)
        monkeypatch.setitem(sys.modules, "httptools", None)
        for name in [name for name in sys.modules if name.startswith("rgp.load")]:
            monkeypatch.delitem(sys.modules, name)
        assert "needs httptools" in failed(capsys, 1, server.url)


def test_the_help_of_rgp_bench_mentions_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_cli.main(["--help"])
    assert "rgp-bench serve URL" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        bench_cli.main(["serve", "--help"])
    assert "--p99 MS" in capsys.readouterr().out
