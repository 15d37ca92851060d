"""Training, from a configuration to a run's folder."""

from __future__ import annotations

import math
import signal
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rgp.cost import Cost
from rgp.errors import RgpError
from rgp.prune import summary
from rgp.train.config import TrainConfig
from rgp.train.curves import Curves
from rgp.train.data import load_data
from rgp.train.distributed import Processes
from rgp.train.evaluation import Metrics, shown
from rgp.train.history import Epoch, History
from rgp.train.learner import Learner
from rgp.train.randomness import seed_all
from rgp.train.report import finish
from rgp.train.resume import Position, checkpoint_to_resume, resume, training_state
from rgp.train.stopping import StoppedError, stop_requests
from rgp.train.tracking import RunFolder, append_result, check_results, has_result

LOOK_EVERY = 10
"""Steps between looks at the loss: each look makes a GPU wait."""


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, the metrics of its last and its best epoch, one image's cost, the seconds."""

    folder: RunFolder
    last: Metrics
    best: Metrics
    cost: Cost
    seconds: float


def train(config: TrainConfig) -> RunResult:
    """Train, evaluate after each epoch, keep the first, best and last checkpoint, and add a row to the results.

    RgpError if the loss is no longer a number; the last good checkpoint then stays as it is. Ctrl-C and SIGTERM
    finish the step, write a checkpoint and raise StoppedError. Of several processes the first writes and speaks.
    """
    began, results = datetime.now(UTC), Path(config.runs) / "results.csv"
    check_results(results)
    processes = Processes(config)
    source = processes.made_once(lambda: checkpoint_to_resume(config))

    seed_all(config.seed)
    with processes.first_before_the_others():  # it may download
        data = load_data(config)
    learner = Learner(config, data, processes)
    console = Console(markup=False, highlight=False, soft_wrap=True, quiet=not processes.first)
    _introduce(console, learner)

    if source:
        run, position = RunFolder(source.parent.parent), resume(learner, source)
        steps = f" and {position.steps} steps" if position.steps else ""
        console.print(f"{source}: continued after epoch {position.epochs}{steps}")
    else:
        run, position = processes.made_once(lambda: RunFolder.create(config)), Position()
        _save(learner, run.first, {}, position)

    history, begun = History(run.history), position.epochs
    if processes.first:
        history.truncate(begun)
        run.sweep()
    length = len(learner.batches)
    begin = position.epochs * length + position.steps
    with (
        Curves(run.logs if processes.first else None, begin) as curves,
        _bar(console) as bar,
        stop_requests() as requests,
    ):
        task = bar.add_task("", now="")
        for epoch in range(position.epochs, config.epochs):
            started, skipped = time.perf_counter(), position.steps
            total = torch.tensor(position.loss, device=learner.device)
            loss, speed, now = position.loss / max(1, skipped), 0.0, ""
            rate = learner.rate(epoch * length + skipped - 1)
            bar.reset(task, total=length, description=f"epoch {epoch + 1}/{config.epochs}")

            for done, step in enumerate(learner.steps(epoch, skipped), start=skipped + 1):
                total += step.loss
                look = done % LOOK_EVERY == 0 or done == length
                asked = _asked(requests, processes, look)
                if asked or (config.save_steps and done % config.save_steps == 0):
                    within = replace(
                        position,
                        steps=done,
                        loss=_finite(processes.mean(total), epoch, config, run),
                        seconds=position.seconds + time.perf_counter() - started,
                    )
                    _save(learner, run.last, {}, within)
                    if asked:
                        _stop(asked, f"in epoch {epoch + 1}, after {done} of {length} steps", run, processes)
                if look:
                    loss = _finite(processes.mean(total) / done, epoch, config, run)
                    speed = (done - skipped) * step.images / (time.perf_counter() - started)
                    rate, now = step.rate, f"loss {loss:.4f}, lr {step.rate:.4f}, {speed:.0f} images/s"
                    bar.update(task, completed=done, now=now)
                    curves.add(step.number, {"train/loss": processes.mean(step.loss), "train/lr": step.rate})

            metrics = learner.evaluate()
            _finite(metrics["loss"], epoch, config, run)
            curves.add((epoch + 1) * length - 1, {f"val/{name}": value for name, value in metrics.items()})
            better = metrics["top1"] > position.best.get("top1", -1)
            position = Position(
                epochs=epoch + 1,
                last=metrics,
                best=metrics if better else position.best,
                seconds=position.seconds + time.perf_counter() - started,
            )
            if processes.first:  # before the checkpoint that counts it: rows it does not know are dropped on resuming
                history.append(
                    Epoch(
                        epoch=position.epochs,
                        steps=position.epochs * length,
                        train_loss=loss,
                        lr=rate,
                        images_per_second=speed,
                        seconds=position.seconds,
                        top1=metrics["top1"],
                        top5=metrics.get("top5"),
                        loss=metrics["loss"],
                        raw_top1=metrics.get("raw_top1"),
                    )
                )
            if better:  # before the last: a run cut off between the two repeats the epoch and writes both again
                _save(learner, run.best, metrics, None)
            if config.save_every and position.epochs % config.save_every == 0:
                _save(learner, run.epoch(position.epochs), metrics, None)
            _save(learner, run.last, metrics, position)
            console.print(f"epoch {epoch + 1}/{config.epochs}: {now}, {shown(metrics)}")
            if (asked := _asked(requests, processes, look=True)) and position.epochs < config.epochs:
                _stop(asked, f"after epoch {epoch + 1}", run, processes)

    result = RunResult(run, position.last, position.best, learner.cost, position.seconds)
    if processes.first and not (source and has_result(results, run.path.parent.name, run.path.name)):
        append_result(results, _row(began, config, learner, result))
    if processes.first and (begun < config.epochs or not run.result.exists()):
        finish(
            console,
            run,
            config,
            learner.cost,
            learner.decisions,
            held_out=len(data.val),
            device=learner.device,
            processes=processes.count,
        )
    if run.report.exists():
        console.print(f"{run.report}: the run's report")
    return result


def _save(learner: Learner, path: Path, metrics: Metrics, position: Position | None) -> None:
    """Write a checkpoint, with what --resume needs if ``position`` is given; all processes meet here."""
    training = training_state(learner, position) if position else {}
    if learner.processes.first:
        try:
            learner.checkpoint(metrics, training).save(path)
        except OSError as error:
            good = RunFolder(path.parent.parent).newest_good
            kept = f"{good} is whole; " if good.exists() else ""
            raise RgpError(
                f"{path}: cannot be written: {error.strerror}: {kept}make room, then --resume auto"
            ) from error


def _asked(requests: list[signal.Signals], processes: Processes, look: bool) -> signal.Signals | None:
    """The signal that wants the run to stop; several processes ask each other when they look at the loss."""
    number = int(requests[0]) if requests else 0
    if processes.count > 1:
        number = max(processes.gathered(number)) if look else 0
    return signal.Signals(number) if number else None


def _stop(asked: signal.Signals, where: str, run: RunFolder, processes: Processes) -> NoReturn:
    """End the run; its checkpoint is written."""
    processes.gathered(None)  # none leaves before that: torchrun ends the others when one does
    stopped = StoppedError(asked, f"stopped {where}: {run.last} continues it (--resume auto)")
    if processes.first:
        raise stopped
    raise SystemExit(stopped.exit_code)  # the first says it for all


def _introduce(console: Console, learner: Learner) -> None:
    config, data, preprocess, spent = learner.config, learner.data, learner.data.preprocess, learner.cost
    size = f"{preprocess.channels} x {preprocess.size} x {preprocess.size}"
    console.print(f"{config.data}: {len(data.train)} + {len(data.val)} images {size}, {len(data.labels)} classes")
    for line in [*summary(learner.decisions), *learner.undecomposed]:
        console.print(f"  {line}")
    if "width_percent" in learner.options:
        console.print(f"  {learner.options['width_percent']}% of the channels, to match {config.match_macs} MACs")
    console.print(
        f"{config.architecture}, graph {config.graph}, on {learner.device}: "
        f"{spent.macs / 1e6:.1f} of {spent.dense_macs / 1e6:.1f} MMAC ({spent.macs / spent.dense_macs:.1%}), "
        f"{spent.parameters / 1e6:.3f} of {spent.dense_parameters / 1e6:.3f} M parameters "
        f"({spent.parameters / spent.dense_parameters:.1%})"
    )


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn())
    text = TextColumn("{task.description}")
    return Progress(text, *columns, console=console, transient=True, disable=not console.is_terminal)


def _finite(loss: float, epoch: int, config: TrainConfig, run: RunFolder) -> float:
    if not math.isfinite(loss):
        raise RgpError(
            f"the loss is {loss} in epoch {epoch + 1}: lower lr ({config.lr}) or raise warmup_epochs "
            f"({config.warmup_epochs}); the last good checkpoint is {run.newest_good}"
        )
    return loss


def _row(began: datetime, config: TrainConfig, learner: Learner, result: RunResult) -> dict[str, object]:
    """The run's row in results.csv; percentages to two digits."""
    tops = {
        f"{name}_{which}": f"{metrics[name]:.2f}"
        for which, metrics in (("last", result.last), ("best", result.best))
        for name in ("top1", "top5")
        if name in metrics
    }
    return tops | {
        "time": began.isoformat(timespec="seconds"),
        "config": result.folder.path.parent.name,
        "name": result.folder.path.name,
        "architecture": config.architecture,
        "graph": config.graph,
        "data": config.data,
        "seed": config.seed,
        "epochs": config.epochs,
        "macs": result.cost.macs,
        "dense_macs": result.cost.dense_macs,
        "parameters": result.cost.parameters,
        "dense_parameters": result.cost.dense_parameters,
        "seconds": f"{result.seconds:.1f}",
        "device": learner.device.type,
    }
