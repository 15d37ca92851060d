"""The page for everyone: with keys, by keyboard, on a phone, in the dark, without motion."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.serve.browser import LEAST_CONTRAST, answered, choose, expect_error, opened
from tests.serve.serving import Server

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


class TestKeys:
    def test_are_asked_for_sent_and_kept_in_memory_only(
        self, browser: Browser, keyed: tuple[Server, str], image: Path
    ) -> None:
        server, key = keyed
        with opened(browser, server.url, failures=("status of 401",)) as page:
            field = page.get_by_label("This service wants an API key")
            expect(field).to_be_visible()
            expect(page.locator("#start-problem")).to_be_hidden()
            field.fill("wrong")
            field.press("Enter")
            expect(page.locator("#start-problem")).to_have_text(httpx.get(f"{server.url}/info").json()["error"])
            field.fill(key)
            field.press("Enter")
            expect(field).to_be_hidden()
            choose(page, image)
            assert len(answered(page)) == 5
            kept = "localStorage.length + sessionStorage.length + document.cookie.length"
            assert page.evaluate(kept) == 0
            page.reload()
            expect(field).to_be_visible()

    def test_that_ask_too_often_are_told_when_to_try_again(
        self, browser: Browser, keyed: tuple[Server, str], image: Path
    ) -> None:
        server, key = keyed
        with opened(browser, server.url, failures=("status of 401", "status of 429")) as page:
            page.get_by_label("This service wants an API key").fill(key)
            page.keyboard.press("Enter")
            expect(page.locator("#main")).to_be_visible()
            again = page.locator("#again")
            again.evaluate("""button => {
                const note = () => button.disabled && button.setAttribute("data-said", button.textContent);
                new MutationObserver(note).observe(button, { childList: true });
            }""")
            for _ in range(20):
                with page.expect_response("**/classify") as response:
                    choose(page, image)
                if response.value.status == 429:
                    break
            expect_error(page, "the key 'page' is allowed 2 requests a second")
            expect(again).to_have_attribute("data-said", "Try again in 1 s")
            expect(again).to_have_text("Try again")
            again.click()
            assert len(answered(page)) == 5


class TestByKeyboardAlone:
    @pytest.mark.parametrize("key", ["Enter", "Space"])
    def test_a_picture_is_chosen(self, key: str, browser: Browser, server: Server, image: Path) -> None:
        with opened(browser, server.url) as page:
            page.on("filechooser", lambda dialog: dialog.set_files(image))
            expect(page.locator("#main")).to_be_visible()
            page.keyboard.press("Tab")
            page.keyboard.press(key)
            assert len(answered(page)) == 5

    def test_all_controls_are_reached_in_order_and_show_it(self, browser: Browser, rich: Server) -> None:
        focused = """() => {
            const element = document.activeElement;
            const seen = element.closest("#drop") ?? element;
            return [seen.id || seen.title || seen.textContent, getComputedStyle(seen).outlineStyle];
        }"""
        with opened(browser, rich.url) as page:
            expect(page.locator("#samples")).to_be_visible()
            reached = []
            for _ in range(4):
                page.keyboard.press("Tab")
                reached.append(page.evaluate(focused))
            assert reached == [[name, "solid"] for name in ("drop", "cat", "dog", "openapi.json")]
            page.keyboard.press("Shift+Tab")
            page.keyboard.press("Enter")
            assert len(answered(page)) == 5

    def test_results_and_errors_are_announced(self, browser: Browser, server: Server) -> None:
        with opened(browser, server.url) as page:
            expect(page.locator("#main")).to_be_visible()
            assert page.locator("#status").get_attribute("role") == "status"
            assert page.locator("#problem").get_attribute("role") == "alert"


def test_nothing_is_wider_than_the_screen(browser: Browser, rich: Server, image: Path) -> None:
    with opened(browser, rich.url) as page:
        choose(page, image)
        answered(page)
        for width in (320, 360, 768, 1400):
            page.set_viewport_size({"width": width, "height": 740})
            assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]


def test_all_text_can_be_read_in_light_and_in_dark(browser: Browser, server: Server, image: Path) -> None:
    with opened(browser, server.url, reduced_motion="reduce") as page:
        for file, outcome in (
            (image, "#answer"),
            ({"name": "x", "mimeType": "", "buffer": b"\0" * 400_000}, "#problem"),
        ):
            choose(page, file)
            expect(page.locator(outcome)).to_be_visible()
            expect(page.locator("#answer")).not_to_have_class("old")
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                red = int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))
                assert (red < 64) == (scheme == "dark")
                contrast, text = page.evaluate(LEAST_CONTRAST)
                assert contrast >= 4.5, (scheme, text)


def test_nothing_moves_for_those_who_want_it_still(browser: Browser, server: Server) -> None:
    lasts = "bar => parseFloat(getComputedStyle(bar).transitionDuration)"
    with opened(browser, server.url) as page:
        bar = page.locator("#compiled")
        assert bar.evaluate(lasts) > 0
        page.emulate_media(reduced_motion="reduce")
        assert bar.evaluate(lasts) == 0
