import pytest

from agents.local import memory
from agents.local.memory import MemoryTrimmer, resident

pytestmark = pytest.mark.skipif(memory._libc() is None, reason="no glibc")


def test_freed_memory_is_given_back_to_the_system():
    blocks = [bytearray(64 << 10) for _ in range(4000)]  # 250 MB in blocks below malloc's threshold for pages
    for block in blocks:
        block[:: 4 << 10] = bytes(16)
    kept = blocks[::50]  # so that the heap's end stays in use
    del blocks, block
    before = resident()
    assert MemoryTrimmer(growth=1 << 20).trim()
    assert resident() < before - (150 << 20)
    assert len(kept) == 80


def test_a_process_that_has_not_grown_is_left_alone():
    trimmer = MemoryTrimmer(growth=64 << 20)
    assert trimmer.trim()
    assert not trimmer.trim()
