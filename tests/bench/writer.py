"""Stores messages at a steady pace, as one of PROCESSES with a connection each.

    python -m tests.bench.writer NUMBER PER_SECOND

NUMBER, from 0, chooses the chats that it writes to. Prints a line when it is ready, stores
from the first line on stdin to the second, and prints a JSON list with three numbers for each
message: when it was due, when it was sent to the database and when it was stored, in seconds of
the machine's monotonic clock. A message after a slow one is sent later than it was due.
"""

import json
import select
import sys
import time

import django

PROCESSES = 4
_CHATS = 500  # so that no two writers wait for each other's sessions


def store(number: int, per_second: float) -> list[tuple[float, float, float]]:
    from sessions_app.models import Message, Session
    from sessions_app.writing import append_message

    chats = Session.objects.filter(name__startswith="Chat ").order_by("pk")
    ids = list(chats.values_list("pk", flat=True)[number * _CHATS : (number + 1) * _CHATS])

    def append(count: int) -> None:
        chat = ids[count % len(ids)]
        append_message(
            Message(session_id=chat, role=Message.Role.USER, text_content="A message. " * 10)
        )

    append(0)  # connects, and does the work that is done once per process
    _say("ready")
    sys.stdin.readline()
    stored: list[tuple[float, float, float]] = []
    # The processes take turns instead of all storing at the same moment.
    started = time.monotonic() + number / (PROCESSES * per_second)
    count = 0
    while True:
        due = started + count / per_second
        if select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
            return stored
        sent = time.monotonic()
        append(count)
        stored.append((due, sent, time.monotonic()))
        count += 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    django.setup()
    _say(json.dumps(store(int(sys.argv[1]), float(sys.argv[2]))))
