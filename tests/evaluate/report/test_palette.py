import pytest

from tilepipe.components.evaluate.report import palette


@pytest.mark.parametrize("color", [palette.RIGHT, palette.WRONG])
def test_numbers_are_readable_on_every_step(color):
    for level in range(palette.LEVELS + 1):
        background = palette.ramp(color, level)
        contrast = palette._contrast(palette._luminance(palette.ink_on(background)), palette._luminance(background))
        assert contrast >= 4.5  # WCAG 2, level AA


def test_ramps_go_from_white_to_the_color():
    assert palette.ramp(palette.RIGHT, 0) == "#ffffff"
    assert palette.ramp(palette.RIGHT, palette.LEVELS) == palette.RIGHT


def test_a_mistake_is_visible_however_rare():
    assert palette.wrong_level(0) == 0
    assert palette.wrong_level(1e-6) == 1
    assert (palette.wrong_level(1), palette.right_level(1), palette.right_level(0)) == (9, 9, 0)
