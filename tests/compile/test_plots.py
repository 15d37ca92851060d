"""The report's pictures say what they were given."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rgp.compile.plots import CELLS, MOST_TERMS, TERMS, Term, latency_svg, support_svg
from tests.compile.example_report import COMPARISON


def cliques(order: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Blocks of ``size`` channels that read each other, in the order ``order``."""
    place = np.argsort(order) // size
    return np.asarray(place[:, None] == place[None, :])


def images(svg: str) -> list[NDArray[np.uint8]]:
    """The matrices that a picture holds, as pixels (H, W, RGBA); matplotlib writes them upside down."""
    found = re.findall(r'xlink:href="data:image/png;base64,([^"]+)"', svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))[::-1] for data in found]


def share(picture: NDArray[np.uint8], colour: str) -> float:
    """Of the pixels, how many have just this colour."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return float((np.abs(picture[..., :3].astype(int) - wanted).max(axis=2) <= 2).mean())


def test_each_batch_has_its_medians_in_the_latency_picture() -> None:
    svg = latency_svg([COMPARISON, COMPARISON])
    ElementTree.fromstring(svg)
    assert svg.count("4.00 ms") == svg.count("2.00 ms") == 2
    assert "batch 1" in svg


def test_a_block_diagonal_is_seen_after_permutation_and_not_before() -> None:
    order = np.random.default_rng(0).permutation(64)
    support = cliques(order, 16)
    svg = support_svg("layer1.conv2", [Term(support, order.tolist(), order.tolist())])
    ElementTree.fromstring(svg)
    before, after = images(svg)
    assert share(before, TERMS[0]) == pytest.approx(0.25, abs=0.03)  # of the pixels as of the weights
    assert share(after, TERMS[0]) == pytest.approx(0.25, abs=0.03)
    quarter = after[: len(after) // 4, : after.shape[1] // 4]
    assert share(quarter, TERMS[0]) > 0.95
    assert share(after[: len(after) // 4, after.shape[1] // 4 + 2 :], TERMS[0]) == 0
    assert share(before[: len(before) // 4, : before.shape[1] // 4], TERMS[0]) < 0.6


def test_each_term_of_a_sum_shows_its_own_blocks_and_the_shared_ones_once() -> None:
    rows = np.arange(64)
    columns = rows.reshape(8, 8).T.reshape(-1)  # the other parallel class of an 8 x 8 grid
    both = [Term(cliques(order, 8), order.tolist(), order.tolist()) for order in (rows, columns)]
    trained, first, second = images(support_svg("sum", both))
    assert share(first, TERMS[0]) == pytest.approx(1 / 8, abs=0.03)
    assert share(first, TERMS[1]) == 0  # pale there
    assert share(second, TERMS[1]) == pytest.approx(7 / 64, abs=0.03)  # its diagonal belongs to the first
    assert share(trained, TERMS[0]) > 0
    assert share(trained, TERMS[1]) > 0


def test_many_terms_are_drawn_as_far_as_there_is_room() -> None:
    term = Term(np.ones((8, 8), bool), range(8), range(8))
    assert len(images(support_svg("many", [term] * (MOST_TERMS + 3)))) == MOST_TERMS + 1


@pytest.mark.parametrize("size", [CELLS - 1, CELLS, CELLS + 1, 2 * CELLS + 3])
def test_a_matrix_larger_than_its_picture_keeps_its_density(size: int) -> None:
    support = np.zeros((size, 3), bool)
    support[: size // 2] = True
    order = range(size)
    _, after = images(support_svg("tall", [Term(support, order, range(3))]))
    assert share(after, TERMS[0]) == pytest.approx(0.5, abs=0.02)


def test_a_name_with_markup_and_dollars_is_shown_as_it_is() -> None:
    svg = support_svg("a$b$<i>", [Term(np.eye(4, dtype=bool), range(4), range(4))])
    ElementTree.fromstring(svg)
    assert "a$b$&lt;i&gt;" in svg
