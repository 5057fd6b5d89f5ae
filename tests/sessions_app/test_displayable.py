"""Text from outside, printed on a terminal."""

from django.db import DataError

from sessions_app.displayable import printable
from sessions_app.management.operator_command import explain_database_error


def test_printable_text_is_one_line_without_control_characters() -> None:
    assert printable("Zoë 日本 \\ 🙂") == "Zoë 日本 \\ 🙂"
    assert printable("a\r\nb\x1b[2J\x9b\u202e\ud800\0") == (r"a\r\nb\x1b[2J\x9b\u202e\ud800\x00")


def test_a_value_in_an_error_of_the_database_is_escaped() -> None:
    explained = explain_database_error(DataError('invalid input: "\x1b[2J\rok"\nDETAIL: more'))
    assert explained == r'The database reports: invalid input: "\x1b[2J\rok"'
