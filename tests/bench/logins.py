"""Logged-in users, created in the database without the server.

    python -m tests.bench.logins COUNT

Prints a JSON object: `agent`, the key of the agent to choose, and `cookies`, the value of the
session cookie of each user.
"""

import json
import sys

import django


def main() -> None:
    django.setup()
    from django.contrib.auth.models import User
    from django.test import Client

    from agents_app.models import Agent

    cookies = []
    for number in range(int(sys.argv[1])):
        client = Client()
        client.force_login(User.objects.create(username=f"user-{number}"))
        cookies.append(client.cookies["sessionid"].value)
    agent = Agent.objects.active().get(name="simple")
    json.dump({"agent": agent.pk, "cookies": cookies}, sys.stdout)


if __name__ == "__main__":
    main()
