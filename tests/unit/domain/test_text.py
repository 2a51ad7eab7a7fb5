import ast
import inspect
import sys
import unicodedata

import pytest

from lookup_core.domain import text as module
from lookup_core.domain.text import DASHES, SPACES, UNSEEN, clean

FULL_WIDTH = "".join(map(chr, range(0xFF01, 0xFF5F)))
ASCII = "".join(map(chr, range(0x21, 0x7F)))


def test_full_width_forms_become_ascii():
    assert (clean(FULL_WIDTH[:60], ""), clean(FULL_WIDTH[60:], "")) == (ASCII[:60], ASCII[60:])


def test_a_sign_is_removed_in_its_full_width_form_too():
    assert clean("12－3４-5\u20116", DASHES) == "123456"


@pytest.mark.parametrize("unseen", SPACES + UNSEEN, ids=ascii)
def test_spaces_and_marks_that_show_nothing_are_dropped(unseen):
    assert clean(f"{unseen}12{unseen}{unseen}3{unseen}", "") == "123"


def test_every_other_character_outside_ascii_is_refused():
    folded = {*FULL_WIDTH, *SPACES, *UNSEEN}
    read = [
        c
        for c in map(chr, range(0x80, sys.maxunicode + 1))
        if c not in folded and clean(f"1{c}", "") is not None
    ]
    assert read == []


@pytest.mark.parametrize(
    "character", ["²", "①", "𝟏", "ﬁ", "ª", "﹣", "\u180e", "\u2061", "\ufe0f", "\U000e0031", "\ud800"]
)
def test_what_a_unicode_table_would_fold_or_drop_is_refused(character):
    assert clean(f"12345{character}", DASHES) is None


def test_no_unicode_table_decides():
    asked = {node.id for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Name)}
    assert "unicodedata" not in asked | set(vars(module))


def test_every_mark_is_a_format_character_and_every_space_a_space():
    assert {unicodedata.category(c) for c in UNSEEN} == {"Cf"}
    assert SPACES.isspace()


def test_a_text_of_64_characters_is_read_and_one_of_65_is_not():
    assert clean("1" * 64, "") == "1" * 64
    assert clean("１" * 64, "") == "1" * 64
    assert clean("1" * 65, "") is None
    assert clean(" " * 65, "") is None
