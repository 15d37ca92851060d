"""Reads docker/Dockerfile into its stages: just as much of the format as that file uses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


@dataclass
class Stage:
    """``base``: an image, or the name of an earlier stage; ``steps``: (instruction, its text) in order."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """The texts of one instruction."""
        return [text for name, text in self.steps if name == instruction]


def stages(text: str) -> dict[str, Stage]:
    """By their names; build arguments before the first stage are filled into the bases."""
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    arguments: dict[str, str] = {}
    found: dict[str, Stage] = {}
    for line in filter(None, (line.strip() for line in lines)):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            stage = Stage(name, re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base))
            found[name] = stage
        elif not found:
            assert instruction == "ARG"
            key, _, value = rest.partition("=")
            arguments[key] = value
        else:
            stage.steps.append((instruction, rest))
    return found


def ignored(path: str, rules: str) -> bool:
    """Whether .dockerignore leaves ``path`` out: the last rule that names it, or a folder above it, decides."""
    out = False
    for rule in rules.splitlines():
        if rule and not rule.startswith("#") and _pattern(rule.removeprefix("!")).match(path):
            out = not rule.startswith("!")
    return out


def _pattern(rule: str) -> re.Pattern[str]:
    text = re.escape(rule).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.compile(f"{text}(?:/.*)?$")
