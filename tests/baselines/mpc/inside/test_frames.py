"""Frames on a pipe: what was written is read, and nothing else is taken for it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.baselines.mpc.inside.frames import (
    BrokenFrameError,
    Share,
    read_frame,
    read_json,
    read_share,
    share_as_json,
    share_from_json,
    write_frame,
    write_json,
    write_share,
)

SHARES = st.builds(Share, st.text(max_size=20), st.binary(max_size=20), st.lists(st.binary(max_size=40)).map(tuple))


@given(SHARES, SHARES)
def test_shares_are_read_as_they_were_written(first: Share, second: Share) -> None:
    pipe = io.BytesIO()
    write_share(pipe, first)
    write_share(pipe, second)
    pipe.seek(0)
    assert (read_share(pipe), read_share(pipe)) == (first, second)
    assert pipe.read() == b""


@given(SHARES)
def test_shares_survive_json(share: Share) -> None:
    assert share_from_json(share_as_json(share)) == share


@given(SHARES, st.data())
def test_a_pipe_that_ends_early_is_no_share(share: Share, data: st.DataObject) -> None:
    pipe = io.BytesIO()
    write_share(pipe, share)
    whole = pipe.getvalue()
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BrokenFrameError, match="ended early"):
        read_share(io.BytesIO(whole[:cut]))


def test_an_impossible_length_is_refused_before_anything_is_read() -> None:
    with pytest.raises(BrokenFrameError, match="a frame of 18446744073709551615 bytes"):
        read_frame(io.BytesIO(b"\xff" * 8))


def test_json_that_is_none_is_refused() -> None:
    pipe = io.BytesIO()
    write_frame(pipe, b"{")
    pipe.seek(0)
    with pytest.raises(BrokenFrameError, match="no JSON"):
        read_json(pipe)


def test_something_else_than_a_share_is_refused() -> None:
    pipe = io.BytesIO()
    write_json(pipe, {"name": "x"})
    pipe.seek(0)
    with pytest.raises(BrokenFrameError, match="no share's header"):
        read_share(pipe)
    for content in ({"name": "x", "meta": "", "chunks": ["?"]}, {"name": "x"}, "x", None):
        with pytest.raises(BrokenFrameError, match="no share"):
            share_from_json(content)
