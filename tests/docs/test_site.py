"""The site: built strictly, every link inside it leads somewhere, and nothing in it comes from another host."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from docs.reference.__main__ import gather
from tests.docs.pages import DOCS, ROOT

pytest.importorskip("zensical", reason="the extra docs is not installed")
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""What a browser fetches by itself, and the attribute that says whence."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site's sources, its settings, and the site in ``build/site``."""
    folder = tmp_path_factory.mktemp("project")
    gather(folder / "build" / "docs")
    (folder / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text())
    ran = build(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


class Read(HTMLParser):
    """A page's links, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given[LOADED[tag]])


@pytest.fixture(scope="module")
def site(project: Path) -> dict[Path, Read]:
    return {path: Read(path.read_text()) for path in sorted((project / "build" / "site").rglob("*.html"))}


def test_every_page_of_the_docs_is_in_the_site_and_in_its_navigation(site: dict[Path, Read], project: Path) -> None:
    built = {str(path.relative_to(project / "build" / "site")) for path in site}
    navigation = str(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    for page in DOCS.rglob("*.md"):
        name = str(page.relative_to(DOCS))
        assert name.replace(".md", ".html") in built
        assert f"'{name}'" in navigation, name
    assert "reference/http.html" in built


def test_every_link_inside_the_site_leads_to_a_file_and_an_anchor_that_exist(site: dict[Path, Read]) -> None:
    broken, checked = [], 0
    for path, page in site.items():
        for link in [*page.links, *page.loaded] if path.name != "404.html" else ():
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            checked += 1
            anchors = site[target].anchors if target in site else {unquote(parts.fragment)}
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors):
                broken.append((path.name, link))
    assert checked > 1000
    assert broken == []


def test_the_site_loads_nothing_from_elsewhere(site: dict[Path, Read], project: Path) -> None:
    for path, page in site.items():
        assert [link for link in page.loaded if urlsplit(link).scheme or urlsplit(link).netloc] == [], path
    for path in (project / "build" / "site").rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", path.read_text()), path


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "[a](graphs.md#nowhere)"])
def test_a_broken_link_stops_the_build(link: str, project: Path, tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text((ROOT / "mkdocs.yml").read_text())
    copy = tmp_path / "build" / "docs"
    copy.mkdir(parents=True)
    (copy / "index.md").write_text(f"# A page\n\n{link}\n")
    (copy / "graphs.md").write_text("# Graphs\n")
    assert build(tmp_path).returncode != 0
