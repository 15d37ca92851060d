"""rgp-train as torchrun starts it, which also writes down which samples this process read: RECORD is a folder."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rgp.train.cli import main
from rgp.train.shards import Sample, Shards

names: list[str] = []
check = Shards._checked


def checked(self: Shards, sample: dict[str, Any]) -> Sample:
    found = check(self, sample)
    names.append(found.name)
    return found


if __name__ == "__main__":
    Shards._checked = checked  # type: ignore[method-assign]
    code = main()
    (Path(os.environ["RECORD"]) / f"{os.environ['RANK']}.json").write_text(json.dumps(names))
    sys.exit(code)
