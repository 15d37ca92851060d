"""rgp-serve stopped with SIGTERM and started again, under load, again and again: what becomes of the requests.

Every request has an id. *Accepted*: the service's own log has a line for it that is no refusal (a 200, or no status at
all), so it was read whole and worked on. *Lost*: accepted, but its client has no whole answer of 200. Requests on
connections that the service closed before it read them are no part of that; they are counted beside it.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.serving.callers import NONE, Answer, call
from benchmarks.serving.part import Part
from benchmarks.serving.processes import free_port
from rgp.load.target import Target

CALLERS = 4
GONE = 499


def run(part: Part) -> dict[str, Any]:
    """20 restarts (2 with --quick)."""
    restarts, under_load = (2, 2.0) if part.quick else (20, 3.0)
    log = part.log("restarts")
    log.unlink(missing_ok=True)
    port, answers, codes, downtimes = free_port(), list[Answer](), list[int](), list[float]()
    stopped = threading.Event()
    loader: threading.Thread | None = None
    left = 0.0
    for _ in range(restarts + 1):
        with part.rgp_serve(port=port, name="restarts") as running:
            if loader is None:
                target = Target.find(running.url)
                loader = threading.Thread(target=_load, args=(part, target, stopped, answers))
                loader.start()
            else:
                downtimes.append(time.monotonic() - left)
            time.sleep(under_load)
            left = time.monotonic()
            if len(codes) == restarts:  # the last one: first the callers end
                stopped.set()
                loader.join()
            codes.append(running.stop())
    result = {**_compare(answers, log), "restarts": restarts, "exit_codes": dict(Counter(codes)), "callers": CALLERS}
    result["from_sigterm_to_ready_s"] = {"most": max(downtimes), "least": min(downtimes)}
    result["verdicts"] = {
        "no accepted request lost": not result["lost"],
        "every 200 is in the log": not result["not_in_log"],
        "exit code 0 each time": set(codes) == {0},
    }
    result["method"] = __doc__
    _print(result)
    return result


def _load(part: Part, target: Target, stopped: threading.Event, answers: list[Answer]) -> None:
    messages = part.messages(target)

    def message(index: int) -> bytes:
        return messages[index % len(messages)].replace(b"\r\n", b"\r\nX-Request-Id: load-%d\r\n" % index, 1)

    call(target, message, callers=CALLERS, more=lambda index: not stopped.is_set(), on_answer=answers.append)


def _compare(answers: list[Answer], log: Path) -> dict[str, Any]:
    """The clients' answers beside the service's log."""
    logged: dict[str, int] = {}
    for line in log.read_text().splitlines():
        if line.startswith("{") and (entry := json.loads(line)).get("request_id", "").startswith("load-"):
            logged[entry["request_id"]] = entry["status"]
    got = {f"load-{answer.index}": answer for answer in answers}
    whole = {name for name, answer in got.items() if answer.status == 200 and _is_answer(answer.body, name)}
    accepted = {name for name, status in logged.items() if status in (0, 200, GONE)}
    return {
        "asked": len(answers),
        "accepted": len(accepted),
        "answered_200": len(whole),
        "lost": sorted(accepted - whole),
        "not_in_log": sorted(whole - accepted),
        "other_statuses": dict(Counter(str(each.status) for each in answers if each.status not in (200, NONE))),
        "closed_before_it_was_read": dict(
            Counter(
                each.body.decode()
                for name, each in got.items()
                if each.sent and each.status == NONE and name not in logged
            )
        ),
        "not_connected": sum(not answer.sent for answer in answers),
    }


def _is_answer(body: bytes, name: str) -> bool:
    said = json.loads(body)
    return bool(said["predictions"]) and said["request_id"] == name


def _print(result: dict[str, Any]) -> None:
    console = Console()
    console.print(
        "{restarts} restarts under {callers} callers: {asked} requests, {accepted} accepted, {answered_200} answered "
        "with 200, other answers {other_statuses}, closed before they were read {closed_before_it_was_read}, "
        "not connected {not_connected}; exit codes {exit_codes}; from SIGTERM to ready "
        "{from_sigterm_to_ready_s}".format(**result),
        markup=False, highlight=False,
    )  # fmt: skip
