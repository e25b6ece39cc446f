"""Files in blocks of whole lines, packed or not."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r2rec.data import packed
from r2rec.data.packed import UNPACKING_ERRORS, LongLineError, line_blocks

SIZE = 12
texts = st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=12)


def put(folder: Path, text: bytes, is_packed: bool) -> Path:
    path = folder / "lines"
    path.write_bytes(gzip.compress(text) if is_packed else text)
    return path


@pytest.mark.parametrize("is_packed", [False, True])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=texts, last=st.binary(max_size=9))
def test_blocks_are_whole_lines_and_all_of_them(
    tmp_path: Path, lines: list[bytes], last: bytes, is_packed: bool
) -> None:
    text = b"".join(line + b"\n" for line in lines) + last.replace(b"\n", b"")
    mark = b"x" if text.startswith(packed.BOM) else b""
    blocks = list(line_blocks(put(tmp_path, mark + text, is_packed), SIZE))
    assert b"".join(blocks) == mark + text
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(len(block) < 2 * SIZE for block in blocks)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_long_line_is_told_before_it_is_given(tmp_path: Path, is_packed: bool) -> None:
    text = b"a\nb\n" * 6 + b"c" * 10 * SIZE
    given_blocks: list[bytes] = []
    with pytest.raises(LongLineError, match=r"^13$"):
        given_blocks.extend(line_blocks(put(tmp_path, text, is_packed), SIZE))
    assert b"c" not in b"".join(given_blocks)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert list(line_blocks(put(tmp_path, packed.BOM + b"a\n", True), SIZE)) == [b"a\n"]


@pytest.mark.parametrize("keep", [5, 30, -3])
def test_a_damaged_file_ends_in_one_of_the_named_errors(tmp_path: Path, keep: int) -> None:
    path = put(tmp_path, bytes(range(48, 58)) * 400 + b"\n", True)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UNPACKING_ERRORS):
        list(line_blocks(path, 10_000))
    with pytest.raises(UNPACKING_ERRORS):
        packed.gunzipped(path.read_bytes())
