"""The parsers of `make fuzz`, with valid inputs and with inputs that are cut short."""

import pytest

from tests.fuzz.coverage_guided import PARSERS


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_takes_whole_and_cut_inputs(tmp_path, name):
    read, valid = PARSERS[name](tmp_path)
    contents = list(valid)
    assert contents
    assert min(map(len, contents)) > 20
    for content in contents:
        read(content)
    read(contents[0][: len(contents[0]) // 2])
