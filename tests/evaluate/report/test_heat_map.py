import re

import numpy as np

from tilepipe.components.evaluate.report.heat_map import HEAT_MAP_STYLE, ROOMY_CLASSES, heat_map

CONFUSION = np.array([[90, 9, 1], [0, 0, 4], [0, 0, 0]])
NAMES = ("forest", "lake", "river")


def rows(markup):
    return [re.findall(r"<td[ >].*?</td>", row) for row in re.findall(r"<tr><th .*?</tr>", markup)]


def test_cells_hold_tiles_and_share_of_the_class():
    (first, second, third) = rows(heat_map(CONFUSION, NAMES, "matrix"))
    assert [re.findall("<[bi]>(.*?)</[bi]>", cell) for cell in first] == [
        ["90", "90\u202f%"],
        ["9", "9\u202f%"],
        ["1", "1\u202f%"],
    ]
    assert 'title="forest: 9 tiles taken for lake, 9.0\u202f% of the class"' in first[1]
    assert second[0] == "<td></td>"
    assert "<b>0</b>" in second[1]  # a class that is never found is worth a zero
    assert third == ["<td></td>"] * 3


def test_right_and_wrong_have_colors_of_their_own():
    (first, second, _) = rows(heat_map(CONFUSION, NAMES, "matrix"))
    assert 'class="r8"' in first[0]
    assert 'class="w3"' in first[1]
    assert 'class="w9"' in second[2]
    for level in ("r0", "r9", "w1", "w9"):
        assert f".{level}{{background:#" in HEAT_MAP_STYLE


def test_many_classes_get_a_switch_instead_of_two_numbers_a_cell():
    def draw(classes):
        return heat_map(np.eye(classes, dtype=np.int64), tuple(str(i) for i in range(classes)), "matrix")

    assert "<fieldset" not in draw(ROOMY_CLASSES)
    assert "<fieldset" in draw(ROOMY_CLASSES + 1)


def test_it_is_a_table_that_can_be_read_aloud():
    markup = heat_map(CONFUSION, NAMES, "Confusion matrix of the test split")
    assert markup.count('scope="col"') == markup.count('scope="row"') == 3
    assert "<caption" in markup
    assert 'role="region" aria-label="Confusion matrix of the test split" tabindex="0"' in markup
