"""Reading a LIST without the garbage collector."""

from __future__ import annotations

import gc

import pytest

from lowbit.kube.uncollected import uncollected


def test_nothing_is_collected_meanwhile_and_again_whatever_happened() -> None:
    with pytest.raises(RuntimeError), uncollected():
        assert not gc.isenabled()
        raise RuntimeError
    assert gc.isenabled()


def test_whoever_has_turned_the_collector_off_finds_it_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
