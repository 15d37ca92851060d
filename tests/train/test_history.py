"""A run's rows: what is written is what is read, whatever cuts the file off, and from wherever it comes."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.checkpoint import Checkpoint
from rgp.errors import RgpError
from rgp.train.config import TrainConfig
from rgp.train.history import HEADER, MAX_BYTES, Epoch, History, best, shown_hours, shown_speed, throughput
from rgp.train.learner import Learner
from rgp.train.loop import train
from rgp.train.tracking import RunFolder

TIMES = {"images_per_second", "seconds"}


def row(number: int, **changes: float | None) -> Epoch:
    basis = Epoch(
        epoch=number,
        steps=10 * number,
        train_loss=2 / number,
        lr=0.1 / number,
        images_per_second=100.0 + number,
        seconds=7.5 * number,
        top1=min(100.0, 10.0 * number),
        top5=None,
        loss=3 / number,
    )
    return replace(basis, **changes)  # type: ignore[arg-type]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.csv")


numbers = st.floats(0, 1e12, allow_nan=False)
percents = st.floats(0, 100, allow_nan=False)
losses = st.floats(-1e38, 1e38, allow_nan=False)
epochs = st.builds(
    row,
    st.integers(1, 10**6),
    **{"train_loss": losses, "loss": losses, "lr": losses, "images_per_second": numbers, "seconds": numbers},
    **{"top1": percents, "top5": st.none() | percents, "raw_top1": st.none() | percents},
)


@given(st.lists(epochs, max_size=5, unique_by=lambda row: row.epoch), st.integers(0, 10**6))
def test_what_is_written_is_read_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Epoch], kept: int
) -> None:
    history = History(tmp_path_factory.mktemp("history") / "history.csv")
    assert history.read() == []
    rows.sort(key=lambda row: row.epoch)
    for each in rows:
        history.append(each)
    assert history.read() == rows
    history.truncate(kept)
    assert history.read() == [row for row in rows if row.epoch <= kept]


def test_the_file_is_a_table_that_a_spreadsheet_opens(history: History) -> None:
    history.append(row(1, top5=99.5))
    assert history.path.read_text() == (
        "epoch,steps,train_loss,lr,images_per_second,seconds,top1,top5,loss,raw_top1\n"
        "1,10,2.0,0.1,101.0,7.5,10.0,99.5,3.0,\n"
    )


def test_wherever_writing_was_cut_off_whole_rows_are_read_and_the_run_goes_on(history: History) -> None:
    rows = [row(number, raw_top1=1 / number) for number in (1, 2, 3)]
    for each in rows:
        history.append(each)
    content = history.path.read_bytes()
    for length in range(len(content) + 1):
        history.path.write_bytes(content[:length])
        whole = max(0, content[:length].count(b"\n") - 1)
        assert history.read() == rows[:whole]
        history.truncate(whole)
        for each in rows[whole:]:
            history.append(each)
        assert history.path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "its columns are not those of this rgp (epoch, steps,"),
        (b"1,2,3\n", "line 2: has 3 values, not 10: remove the line"),
        (b"1,10,x,0.1,100,7,10,,3,\n", "line 2: train_loss is 'x', not a number"),
        (b"1,10,nan,0.1,100,7,10,,3,\n", "line 2: train_loss is nan"),
        (b"1,10,2,0.1,100,7,10,,inf,\n", "line 2: loss is inf"),
        (b"1,10,2,0.1,100,7,101,,3,\n", "line 2: top1 is 101.0"),
        (b"1,10,2,0.1,100,7,,,3,\n", "line 2: top1 is '', not a number"),
        (b"1,10,2,0.1,100,-1,10,,3,\n", "line 2: seconds is -1.0"),
        (b"0,10,2,0.1,100,7,10,,3,\n", "line 2: epoch is 0"),
        (b"1.5,10,2,0.1,100,7,10,,3,\n", "line 2: epoch is '1.5', not a number"),
        (b"9" * 5000 + b",10,2,0.1,100,7,10,,3,\n", "line 2: epoch is '9999"),
        (b"\xff\x1b[2J,10,2,0.1,100,7,10,,3,\n", r"line 2: epoch is '\ufffd\x1b[2J', not a number"),
        (b"1,10,2,0.1,100,7,10,,3,\n" * 2, "line 3: epoch 1 comes after epoch 1"),
        (b"\n", "line 2: has 1 values, not 10"),
        (b"0" * MAX_BYTES, "larger than 4 MiB"),
    ],
)
def test_a_file_that_no_run_wrote_is_refused_in_one_line(history: History, content: bytes, said: str) -> None:
    header = b"" if content.startswith(b"a,b") else ",".join(HEADER).encode() + b"\n"
    history.path.write_bytes(header + content)
    with pytest.raises(RgpError) as caught:
        history.read()
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{history.path}: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 + len(str(history.path))


@given(st.binary(max_size=200))
def test_no_bytes_are_worse_than_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    history = History(tmp_path_factory.mktemp("history") / "history.csv")
    history.path.write_bytes(",".join(HEADER).encode() + b"\n" + content)
    try:
        rows = history.read()
    except RgpError:
        return
    assert len(rows) == content.count(b"\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_disk_is_said_to_be_one() -> None:
    with pytest.raises(RgpError, match=r"/dev/full: cannot be written: No space left on device: make room"):
        History(Path("/dev/full")).append(row(1))


def test_the_best_epoch_is_the_first_with_the_highest_top1() -> None:
    rows = [row(number, top1=top1) for number, top1 in enumerate([50.0, 70.0, 70.0, 60.0], start=1)]
    assert best(rows).epoch == 2


def test_the_throughput_is_the_median() -> None:
    assert throughput([row(number, images_per_second=speed) for number, speed in enumerate((1, 400, 300), 1)]) == 300


def test_speeds_and_hours_keep_their_leading_digits() -> None:
    assert [shown_speed(speed) for speed in (2310.4, 100.0, 99.96, 3.14159)] == ["2310", "100", "100", "3.14"]
    assert [shown_hours(hours * 3600) for hours in (31.256, 1, 0.0123)] == ["31.26", "1.00", "0.012"]


class TestInARun:
    def test_each_epoch_has_its_row(self, configured: Callable[..., TrainConfig]) -> None:
        result = train(configured(ema=0.9, warmup_epochs=1))
        rows = History(result.folder.history).read()
        assert [row.epoch for row in rows] == [1, 2, 3, 4]
        assert [row.steps for row in rows] == [3, 6, 9, 12]
        assert (rows[-1].top1, rows[-1].loss, rows[-1].raw_top1) == tuple(
            result.last[name] for name in ("top1", "loss", "raw_top1")
        )
        assert rows[-1].seconds == result.seconds
        assert best(rows).top1 == result.best["top1"]
        assert best(rows).loss == Checkpoint.load(result.folder.best).metrics["loss"]
        assert [row.lr for row in rows] == sorted((row.lr for row in rows), reverse=True)

    @pytest.mark.parametrize("where", ["before the checkpoint", "in the next epoch"])
    def test_killed_and_resumed_it_is_that_of_a_run_that_was_not(
        self, configured: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        config = configured(save_steps=1)
        straight = train(replace(config, name="straight"))
        honest_save, honest_steps = Checkpoint.save, Learner.steps

        def save(self: Checkpoint, path: Path) -> None:
            position = self.training.get("position", {"epochs": 0, "steps": 0})
            if (path.name, position["epochs"], position["steps"]) == ("last.pth", 2, 0):
                raise KeyboardInterrupt
            honest_save(self, path)

        def steps(self: Learner, epoch: int, skip: int = 0):  # type: ignore[no-untyped-def]
            for number, step in enumerate(honest_steps(self, epoch, skip)):
                if (epoch, number) == (2, 2):
                    raise KeyboardInterrupt
                yield step

        with monkeypatch.context() as patch:
            if where == "before the checkpoint":
                patch.setattr(Checkpoint, "save", save)
            else:
                patch.setattr(Learner, "steps", steps)
            with pytest.raises(KeyboardInterrupt):
                train(config)
        folder = RunFolder.newest(config)
        assert folder is not None
        assert len(History(folder.history).read()) == 2
        with folder.history.open("a") as file:
            file.write("3,9,0.7")  # killed while it wrote
        resumed = train(replace(config, resume=str(folder.last)))
        ours, theirs = (History(result.folder.history).read() for result in (resumed, straight))
        assert [untimed(row) for row in ours] == [untimed(row) for row in theirs]
        assert [row.seconds for row in ours] == sorted(row.seconds for row in ours)


def untimed(row: Epoch) -> dict[str, float | None]:
    assert {entry.name for entry in fields(Epoch)} > TIMES
    return {name: value for name, value in asdict(row).items() if name not in TIMES}
