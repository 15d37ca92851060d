"""What the five commands share: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from rgp.errors import RgpError


def guarded(command: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None, name: str) -> int:
    """Run ``command`` on ``argv`` (None: this process's); return its exit code.

    A user's error prints one line and gives 2 (usage) or 1 (the rest); Ctrl-C gives 130; a reader that went
    away (``| head``) is no error. Anything else is our own bug and keeps its traceback.
    """
    try:
        command(argv)
        sys.stdout.flush()
    except RgpError as error:
        return _fail(name, str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(name, f"{where}{error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _fail(name, "interrupted", 130)
    return 0


def _fail(name: str, message: str, code: int) -> int:
    print(f"{name}: error: {' '.join(message.split())}", file=sys.stderr)
    return code
