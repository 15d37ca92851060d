"""Spelling: what is printed is read again, and what is wrong is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgp.errors import UsageError
from rgp.families.spelling import OPTIONS, Spelling

numbers = st.integers(0, 10**18 - 1)


@st.composite
def options(draw: st.DrawFn, family: str) -> tuple[tuple[str, int], ...]:
    taken = draw(st.sets(st.sampled_from(OPTIONS[family])))
    values = {name: draw(st.integers(0, 1) if name in ("loops", "rotate") else numbers) for name in sorted(taken)}
    return tuple((name, values[name]) for name in OPTIONS[family] if name in values)


@st.composite
def spellings(draw: st.DrawFn) -> Spelling:
    family = draw(st.sampled_from([*OPTIONS, "product"]))
    if family == "file":
        return Spelling("file", path=draw(st.text(max_size=20)) + ".npy", options=draw(options("file")))
    base = draw(st.sampled_from([name for name in OPTIONS if name != "file"])) if family == "product" else ""
    return Spelling(
        family,
        draw(numbers),
        draw(numbers),
        options=draw(options(base or family)),
        base=base,
        copies=draw(st.integers(2, 10**18 - 1)) if base else 1,
    )


@given(spellings())
def test_what_is_printed_is_read_again(spelling: Spelling) -> None:
    assert Spelling.parse(str(spelling)) == spelling


@pytest.mark.parametrize(
    "text",
    [
        "64_16",
        "64_16?seed=1&iterations=20000",
        "64_16?relabel=3",
        "64_16?rotate=1",
        "ring:64_16",
        "ring:64_16?loops=1",
        "circulant:64_16?seed=2",
        "random:64_16",
        "random:64_16?seed=3",
        "random:64_16?seed=0&rotate=1&loops=1",
        "affine:64_15",
        "affine:64_15?classes=2&first=3&rotate=1&loops=0",
        "product:16_4x4",
        "product:16_4x4?relabel=1",
        "product:ring:16_4x4",
        "product:affine:16_7x4?classes=2",
        "M0.npy",
        "path/to/my graph?x=1.npy",
        "ring:64_16.npy",
        "a.npy?b=1.npy",
        "a.npy?loops=1",
        ".npy",
    ],
)
def test_the_normal_form_is_printed_as_it_was_read(text: str) -> None:
    assert str(Spelling.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("searched:64_16", "64_16"),
        ("product:searched:16_4x4", "product:16_4x4"),
        ("random:64_16?loops=0&seed=03", "random:64_16?seed=3&loops=0"),
        ("ring:064_016", "ring:64_16"),
    ],
)
def test_other_forms_become_the_normal_one(text: str, normal: str) -> None:
    assert str(Spelling.parse(text)) == normal


def test_the_parts_of_a_spelling_have_names() -> None:
    assert Spelling.parse("64_16") == Spelling("searched", 64, 16)
    assert Spelling.parse("affine:64_15?first=3&classes=2") == Spelling(
        "affine", 64, 15, options=(("classes", 2), ("first", 3))
    )
    assert Spelling.parse("product:16_4x3?relabel=1") == Spelling(
        "product", 16, 4, options=(("relabel", 1),), base="searched", copies=3
    )
    assert Spelling.parse("a/M0.npy") == Spelling("file", path="a/M0.npy")


def test_options_are_changed_and_taken_away_in_order() -> None:
    spelling = Spelling.parse("affine:64_15?first=3&rotate=1")
    assert str(spelling.having(rotate=None, classes=2)) == "affine:64_15?classes=2&first=3"
    assert str(Spelling.parse("product:random:16_4x2").having(seed=1)) == "product:random:16_4x2?seed=1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rnig:64_16", "unknown graph family 'rnig': did you mean 'ring'?"),
        ("afine:64_15", "unknown graph family 'afine': did you mean 'affine'?"),
        ("circulent:64_15", "did you mean 'circulant'?"),
        ("zzz:64_16", "unknown graph family 'zzz': known: affine, circulant, product, random, ring, searched"),
        ("prodct:16_4x4", "unknown graph family 'prodct': did you mean 'product'?"),
        ("product:rnig:16_4x4", "unknown graph family 'rnig': did you mean 'ring'?"),
        ("product:product:16_4x4", "unknown graph family 'product': known: affine, circulant, random, ring, searched"),
        ("file:64_16", "unknown graph family 'file'"),
        ("random:64_16?sed=1", "unknown option of graph family random 'sed': did you mean 'seed'?"),
        ("ring:64_16?seed=1", "unknown option of graph family ring 'seed': known: loops"),
        ("64_16?iteration=1", "unknown option of graph family searched 'iteration': did you mean 'iterations'?"),
        ("product:ring:16_4x4?seed=1", "unknown option of graph family ring 'seed'"),
        ("M0.npy?seed=1", "unknown option of graph family file 'seed': known: loops"),
        ("ring:64_16?", "unknown option of graph family ring ''"),
        ("random:64_16?seed=1&", "unknown option of graph family random ''"),
        ("random:64_16?seed=-1", "seed is '-1', give a whole number from 0"),
        ("random:64_16?seed=+1", "seed is '+1', give a whole number from 0"),
        ("random:64_16?seed= 1", "seed is ' 1', give a whole number from 0"),
        ("random:64_16?seed=1.5", "seed is '1.5', give a whole number from 0"),
        ("random:64_16?seed=٣", "seed is '٣', give a whole number from 0"),
        ("random:64_16?seed=", "seed is '', give a whole number from 0"),
        ("random:64_16?seed", "seed is '', give a whole number from 0"),
        (f"random:64_16?seed={'9' * 5000}", "give a whole number from 0, of at most 18 digits"),
        (f"random:{'9' * 5000}_16", "N is '999"),
        (f"random:64_{'9' * 19}", "d is '999"),
        ("random:64_16?seed=1&seed=1", "seed is given twice"),
        ("affine:64_8?rotate=2", "rotate is 2, give 0 or 1"),
        ("ring:64_8?loops=7", "loops is 7, give 0 or 1"),
        ("M0.npy?loops=2", "loops is 2, give 0 or 1"),
        ("ring:16_4x4", "only a product takes copies: write product:ring:16_4x4"),
        ("product:16_4", "a product is written product:N_dxM"),
        ("product:16_4x1", "with M from 2"),
        ("product:16_4x0", "with M from 2"),
        ("", "graph '': write family:N_d"),
        ("dense", "graph 'dense': write family:N_d"),
        ("64", "graph '64': write family:N_d"),
        ("64-16", "write family:N_d"),
        ("ring:64_16 ", "write family:N_d"),
        (" ring:64_16", "write family:N_d"),
        ("ring:64_16\n", "write family:N_d"),
        ("ring:64_16?loops=1\n", "write family:N_d"),
        ("ring:-64_16", "write family:N_d"),
        ("RING:64_16", "write family:N_d"),
        ("M0.np", "write family:N_d .ring:64_16, random:64_16.seed=1. or a .npy path"),
    ],
)
def test_a_wrong_spelling_is_a_usage_error_that_says_what_is_meant(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Spelling.parse(text)
    assert message.replace(" .ring", " (ring").replace("16.seed=1.", "16?seed=1)") in str(caught.value)
    assert len(str(caught.value)) < 300


@given(
    st.text(max_size=40) | st.from_regex(r"\A(product:)?([a-z]{1,9}:)?[0-9]{0,3}_[0-9]{0,3}(x[0-9])?(\?[a-z=&0-9]*)?\Z")
)
def test_any_text_is_a_spelling_or_a_usage_error(text: str) -> None:
    try:
        spelling = Spelling.parse(text)
    except UsageError:
        return
    assert Spelling.parse(str(spelling)) == spelling
