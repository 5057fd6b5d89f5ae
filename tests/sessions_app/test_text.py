"""What others have written, on the way to a terminal."""

from django.db import DataError

from sessions_app.management.base import explain_database_error
from sessions_app.text import printable


def test_what_is_printed_is_one_line_that_no_terminal_obeys() -> None:
    assert printable("Zoë 日本 \\ 🙂") == "Zoë 日本 \\ 🙂"
    assert printable("a\r\nb\x1b[2J\x9b\u202e\ud800\0") == (r"a\r\nb\x1b[2J\x9b\u202e\ud800\x00")


def test_a_value_that_the_database_complains_of_is_spelt_out() -> None:
    said = explain_database_error(DataError('invalid input: "\x1b[2J\rok"\nDETAIL: more'))
    assert said == r'The database refused: invalid input: "\x1b[2J\rok"'
