"""The constraints language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.edge.providers.docker.constraints import ConstraintError, parse

LABELS = {"env": "prod", "team": "web-1", "empty": ""}


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("", True),
        ("  ", True),
        ("Label(`env`, `prod`)", True),
        ('Label("env", "prod")', True),
        ("Label(`env`,`test`)", False),
        ("Label(`none`, ``)", True),
        ("LabelRegex(`team`, `web`)", True),
        ("LabelRegex(`team`, `^web$`)", False),
        (r'LabelRegex("team", "\\d$")', True),
        ("!Label(`env`, `prod`)", False),
        ("!!Label(`env`, `prod`)", True),
        ("Label(`env`, `prod`) && Label(`team`, `x`)", False),
        ("Label(`env`, `prod`) || Label(`team`, `x`)", True),
        # && binds more than ||, and ! more than both
        ("Label(`env`, `prod`) || Label(`env`, `x`) && Label(`env`, `y`)", True),
        ("(Label(`env`, `prod`) || Label(`env`, `x`)) && Label(`env`, `y`)", False),
        ("!Label(`env`, `x`) && Label(`env`, `prod`)", True),
        ("!(Label(`env`, `prod`) && Label(`empty`, ``))", False),
    ],
)
def test_expressions(expression: str, accepted: bool) -> None:
    assert parse(expression)(LABELS) is accepted


@pytest.mark.parametrize(
    ("expression", "column", "text"),
    [
        ("Lable(`a`, `b`)", 1, "did you mean Label?"),
        ("Tag(`a`)", 1, "unsupported function Tag"),
        ("Label(`a`)", 10, "found ')' where , is expected"),
        ("Label(`a`, `b`", 15, "the expression ends where ) is expected"),
        ("Label(`a`, b)", 12, "a text in backticks or double quotes"),
        ("Label(`a`, `b`) &&", 19, "the expression ends"),
        ("Label(`a`, `b`) Label(`a`, `b`)", 17, "where && or || is expected"),
        ("Label(`a`, `b`) & Label(`a`, `b`)", 17, "found '&'"),
        ("(Label(`a`, `b`)", 17, "where ) is expected"),
        ("LabelRegex(`a`, `(`)", 17, "no regular expression"),
        ("Label(`a`, `b)", 12, "found '`'"),
        ("!" * 101 + "Label(`a`, `b`)", 101, "nested deeper"),
    ],
)
def test_errors_point_at_the_column(expression: str, column: int, text: str) -> None:
    with pytest.raises(ConstraintError, match=f"^column {column}: ") as error:
        parse(expression)
    assert text in str(error.value)
    assert error.value.column == column


@given(st.text(alphabet='Label()Regex`"!&|, ab\\', max_size=60))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    try:
        predicate = parse(text)
    except ConstraintError:
        return
    assert predicate(LABELS) in (True, False)
