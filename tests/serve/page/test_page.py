"""The page at / in a real browser, asking a real server: pictures, answers, live figures."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from rgp.bundle import Bundle
from tests.serve.browser import answered, choose, drop, expect_error, opened, percent
from tests.serve.serving import MAX_BODY_BYTES, Server, serving
from tests.serve.tiny import write_bundle

MARKUP = "<img src=x onerror=alert(1)>"


class TestAPicture:
    def test_that_is_chosen_gets_the_answer_that_offline_classify_gives(
        self, browser: Browser, server: Server, image: Path, offline: list[list[str]]
    ) -> None:
        with opened(browser, server.url) as page:
            choose(page, image)
            assert answered(page) == offline
            assert page.locator("#picture").evaluate("image => image.naturalWidth") == 37
            expect(page.locator("#status")).to_have_text(f"cat.png: {', '.join(offline[0])}")

    def test_that_is_dropped_gets_it_too(
        self, browser: Browser, server: Server, image: Path, offline: list[list[str]]
    ) -> None:
        with opened(browser, server.url) as page:
            expect(page.locator("#main")).to_be_visible()
            drop(page, image)
            assert answered(page) == offline

    def test_that_is_pasted_gets_it_too(
        self, browser: Browser, server: Server, image: Path, offline: list[list[str]]
    ) -> None:
        copy = """async (bytes) => {
            const image = new Blob([new Uint8Array(bytes)], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
        }"""
        with opened(browser, server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
            expect(page.locator("#main")).to_be_visible()
            page.evaluate(copy, list(image.read_bytes()))
            page.keyboard.press("Control+V")
            assert answered(page) == offline

    def test_is_shown_with_bars_as_long_as_its_shares_and_stages(
        self, browser: Browser, server: Server, image: Path
    ) -> None:
        with opened(browser, server.url, reduced_motion="reduce") as page:
            choose(page, image)
            rows = answered(page)
            widths = page.eval_on_selector_all("#classes .fill", "bars => bars.map(bar => parseFloat(bar.style.width))")
            assert widths == pytest.approx([float(share.strip("<> %")) for _, share in rows], abs=0.11)
            shown = page.locator("tbody tr td:nth-child(2)").all_inner_texts()
            *stages, total = map(float, shown)
            assert sum(stages) == pytest.approx(total, abs=0.04, rel=0.01)  # each figure is rounded
            drawn = page.eval_on_selector_all("#stack span", "parts => parts.map(part => part.offsetWidth)")
            assert sum(drawn) <= page.locator("#stack").evaluate("stack => stack.offsetWidth")
            assert drawn.index(max(drawn)) == stages.index(max(stages))

    def test_that_is_broken_is_refused_in_the_services_words(
        self, browser: Browser, server: Server, image: Path, tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image at all")
        with opened(browser, server.url, failures=("status of 400",)) as page:
            choose(page, image)
            answered(page)
            choose(page, broken)
            expect_error(page, httpx.post(f"{server.url}/classify", content=broken.read_bytes()).json()["error"])
            expect(page.locator("#picture")).to_be_hidden()
            expect(page.locator("#again")).to_be_hidden()

    def test_that_is_too_large_is_not_even_sent(self, browser: Browser, server: Server, tmp_path: Path) -> None:
        large = tmp_path / "large.png"
        large.write_bytes(bytes(MAX_BODY_BYTES + 1))
        with opened(browser, server.url) as page:
            sent: list[str] = []
            page.on("request", lambda request: sent.append(request.method))
            choose(page, large)
            expect_error(page, "large.png has 301 kB", "takes 300 kB")
            assert "POST" not in sent

    def test_is_no_text_that_is_pasted(self, browser: Browser, server: Server) -> None:
        with opened(browser, server.url, permissions=["clipboard-read", "clipboard-write"]) as page:
            expect(page.locator("#main")).to_be_visible()
            page.evaluate("navigator.clipboard.writeText('words')")
            page.keyboard.press("Control+V")
            expect_error(page, "holds no image")


class TestABundle:
    def test_offers_its_samples_its_drawing_and_names_that_are_never_markup(
        self, browser: Browser, rich: Server
    ) -> None:
        with opened(browser, rich.url) as page:
            expect(page.locator("#name")).to_have_text(f"{MARKUP}-net")
            expect(page.locator("#about")).to_contain_text(MARKUP)
            drawn = "image => image.complete && image.naturalWidth > 0"
            for picture in ("#drawing", "#sample-list img >> nth=0", "#sample-list img >> nth=1"):
                page.wait_for_function(drawn, arg=page.locator(picture).element_handle())
            page.get_by_role("button", name="sample: dog").click()
            assert all(label.startswith(MARKUP) for label, _ in answered(page))
            assert page.locator("[onerror]").count() == 0

    def test_without_samples_or_drawing_leaves_their_places_out(self, browser: Browser, server: Server) -> None:
        with opened(browser, server.url) as page:
            expect(page.locator("#main")).to_be_visible()
            expect(page.locator("#samples")).to_be_hidden()
            expect(page.locator("#graph")).to_be_hidden()


def test_the_command_for_a_shell_gets_the_same_answer(
    browser: Browser, server: Server, image: Path, offline: list[list[str]]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    with opened(browser, server.url) as page:
        expect(page.locator("#shell")).not_to_be_empty()
        command = page.locator("#shell").inner_text().replace("image.jpg", str(image))
    said = json.loads(subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout)
    assert [[row["label"], percent(row["probability"])] for row in said["predictions"]] == offline


class TestTheLivePanel:
    def test_says_that_nothing_is_measured_yet_and_then_shows_the_figures(
        self, browser: Browser, bundle: Bundle, image: Path, tmp_path: Path
    ) -> None:
        quick = ("--baseline", "0.5")
        with serving(bundle.path, tmp_path / "log", *quick) as server, opened(browser, server.url) as page:
            expect(page.locator("#live-note")).to_have_text(
                "No live figure yet: the service measures only while it is idle. "
                "These figures are the bundle's, from when it was compiled."
            )
            expect(page.locator("#source")).to_have_text("from the bundle")
            expect(page.locator("#ratio")).to_have_text("2.50\N{MULTIPLICATION SIGN}")
            expect(page.locator("#interval")).to_have_text("95% interval 2.25 to 2.75, 100 pairs, measured 2026-01-02")
            expect(page.locator("#plot")).to_be_hidden()
            choose(page, image)
            answered(page)
            while not (said := httpx.get(f"{server.url}/latency").json())["live"]:
                httpx.post(f"{server.url}/classify", content=image.read_bytes())
            time.sleep(1)  # for the pair of the last image
            said = httpx.get(f"{server.url}/latency").json()
            expect(page.locator("#source")).to_have_text("live")
            expect(page.locator("#live-note")).to_be_hidden()
            low, high = said["live"]["speedup_ci95"]
            expect(page.locator("#interval")).to_contain_text(f"95% interval {low:.2f} to {high:.2f}, ")
            expect(page.locator("#ratio")).to_contain_text(f"{said['live']['speedup']:.2f}")
            expect(page.locator("#plot circle")).to_have_count(len(said["recent"]))
            expect(page.locator("#facts")).to_contain_text("Same top class as dense: 100.0%")
            expect(page.locator("#total td >> nth=2")).not_to_be_empty()

    def test_says_where_nothing_is_measured_live(self, browser: Browser, server: Server) -> None:
        with opened(browser, server.url) as page:
            expect(page.locator("#live-note")).to_contain_text("This service does not measure live.")

    def test_asks_nothing_while_nobody_sees_the_page(self, browser: Browser, server: Server) -> None:
        show = "seen => { Object.defineProperty(document, 'hidden', { value: !seen, configurable: true });"
        show += "document.dispatchEvent(new Event('visibilitychange')); }"
        with opened(browser, server.url) as page:
            expect(page.locator("#ratio")).not_to_be_empty()
            page.evaluate(show, False)
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.wait_for_timeout(2500)
            assert asked == []
            with page.expect_request("**/latency"):
                page.evaluate(show, True)


def test_a_service_that_comes_back_is_asked_again_with_one_click(
    browser: Browser, bundle: Bundle, image: Path, tmp_path: Path
) -> None:
    with (
        serving(bundle.path, tmp_path / "log") as server,
        opened(browser, server.url, failures=("net::ERR_",)) as page,
    ):
        expect(page.locator("#ratio")).not_to_be_empty()
        server.stop()
        expect(page.locator("#live-note")).to_contain_text("does not answer")
        choose(page, image)
        expect_error(page, "The service does not answer")
        with serving(bundle.path, tmp_path / "second.log", "--port", str(server.port)):
            page.get_by_role("button", name="Try again").click()
            assert len(answered(page)) == 5
            expect(page.locator("#live-note")).not_to_contain_text("does not answer")


def test_a_model_that_was_exchanged_is_named_with_the_next_answer(
    browser: Browser, rich_bundle: Bundle, image: Path, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with serving(bundle.path, tmp_path / "log") as server, opened(browser, server.url) as page:
        expect(page.locator("#name")).to_have_text("tiny-net")
        shutil.rmtree(bundle.path)
        shutil.copytree(rich_bundle.path, bundle.path)
        server.process.send_signal(signal.SIGHUP)
        while httpx.get(f"{server.url}/info").json()["sha256"] != rich_bundle.sha256:
            time.sleep(0.05)
        choose(page, image)
        expect(page.locator("#name")).to_have_text(f"{MARKUP}-net")
        expect(page.locator("#samples")).to_be_visible()
