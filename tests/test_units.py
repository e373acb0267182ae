import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalefit.errors import UsageError
from scalefit.units import format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("100B", 1e11), ("0.5b", 5e8), ("50k", 5e4), ("1e21", 1e21), ("1.5T", 1.5e12), ("7_000", 7000), (12, 12)],
)
def test_reads_what_people_write(text, value):
    assert parse_quantity(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["", "B", "-3B", "0", "1e999", "seven", "7 Bn", "nan", float("inf")])
def test_refuses_with_the_option_named(text):
    with pytest.raises(UsageError, match="--params"):
        parse_quantity(text, "--params")


@given(st.floats(1, 1e14))
def test_round_trip_within_three_digits(value):
    # Three significant digits: at most half a unit in the third, .5 %.
    assert parse_quantity(format_quantity(value)) == pytest.approx(value, rel=5.1e-3)
