"""What people see of an agent, edited in the admin: names, starter prompts, pictures."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from agents_app.agent_pictures import MAX_BYTES
from agents_app.models import Agent, AgentPicture
from tests.agents_app.chats import make_agent, make_user
from tests.agents_app.web.helpers import html

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + b"\xed\xa0\x80" * 20
WEBP = b"RIFF\x10\0\0\0WEBPVP8 " + b"\xff" * 20
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def agent() -> Agent:
    return make_agent("helper")


def save(admin: Client, agent: Agent, **values: Any) -> Any:
    url = reverse("admin:agents_app_agent_change", args=[agent.pk])
    response = admin.post(
        url, {"name": agent.name, "type": "simple", "config": "{}", "active": "on", **values}
    )
    agent.refresh_from_db()
    return response


def upload(content: bytes, name: str = "face.png", kind: str = "image/png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type=kind)


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    found: dict[str, list[str]] = response.context["adminform"].form.errors
    return found


def picture_url(agent: Agent) -> str:
    return reverse("agent-picture", args=[agent.pk, agent.picture_digest])


def test_profile(admin: Client, agent: Agent) -> None:
    starters = "  Plan a trip \r\n\r\n\tExplain <b>this</b>\n"
    assert save(admin, agent, display_name="Helper", starter_prompts=starters).status_code == 302
    assert (agent.name, agent.shown_name) == ("helper", "Helper")
    assert agent.starters == ["Plan a trip", "Explain <b>this</b>"]
    assert agent.starter_prompts == "Plan a trip\nExplain <b>this</b>"
    assert "Helper" in html(admin.get(reverse("admin:agents_app_agent_changelist")))


@pytest.mark.parametrize(
    ("starters", "complaint"),
    [("\n".join("abcdefghi"), "at most 8 prompts"), ("x" * 201, "at most 200 characters")],
)
def test_starter_prompts_are_few_and_short(
    admin: Client, agent: Agent, starters: str, complaint: str
) -> None:
    assert complaint in errors(save(admin, agent, starter_prompts=starters))["starter_prompts"][0]
    assert agent.starters == []


@pytest.mark.parametrize(
    ("content", "media_type"), [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")]
)
def test_picture_is_stored_and_served(
    admin: Client, agent: Agent, content: bytes, media_type: str
) -> None:
    """By what it is, whatever it is called."""
    misnamed = upload(content, "face.html", "text/html")
    assert save(admin, agent, new_picture=misnamed).status_code == 302
    admin.force_login(make_user())
    response = admin.get(picture_url(agent))
    assert response.content == content
    assert response["Content-Type"] == media_type
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cache-Control"] == "private, max-age=31536000, immutable"


def test_picture_can_be_replaced_and_removed(admin: Client, agent: Agent) -> None:
    save(admin, agent, new_picture=upload(PNG))
    first = picture_url(agent)
    change = reverse("admin:agents_app_agent_change", args=[agent.pk])
    assert f'<img src="{first}"' in html(admin.get(change))
    save(admin, agent, display_name="Still with its picture")
    assert picture_url(agent) == first
    save(admin, agent, new_picture=upload(JPEG))
    assert admin.get(first).status_code == 404, "another picture has another address"
    assert admin.get(picture_url(agent)).content == JPEG
    last = picture_url(agent)
    save(admin, agent, remove_picture="on")
    assert agent.picture_digest == ""
    assert not AgentPicture.objects.exists()
    assert admin.get(last).status_code == 404
    assert "initial is shown" in html(admin.get(change))


def test_new_agent_with_a_picture(admin: Client) -> None:
    sent = {"name": "new", "type": "simple", "config": "{}", "new_picture": upload(PNG)}
    assert admin.post(reverse("admin:agents_app_agent_add"), sent).status_code == 302
    assert AgentPicture.objects.get().agent.name == "new"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (SVG, "PNG, JPEG or WebP"),
        (b"GIF89a" + b"\0" * 20, "PNG, JPEG or WebP"),
        (b"<html><script>alert(1)</script>", "PNG, JPEG or WebP"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "PNG, JPEG or WebP"),
        (PNG + b"\0" * MAX_BYTES, "at most 256 KB"),
        (b"", "empty"),
    ],
    ids=["svg", "gif", "html", "wav", "large", "empty"],
)
def test_other_files_are_refused(
    admin: Client, agent: Agent, content: bytes, complaint: str
) -> None:
    refused = save(admin, agent, new_picture=upload(content))
    assert complaint in errors(refused)["new_picture"][0]
    assert not AgentPicture.objects.exists()


def test_largest_picture(admin: Client, agent: Agent) -> None:
    assert save(admin, agent, new_picture=upload(PNG.ljust(MAX_BYTES, b"\0"))).status_code == 302
    assert len(AgentPicture.objects.get().content) == MAX_BYTES


def test_picture_is_for_those_who_have_logged_in(admin: Client, agent: Agent) -> None:
    save(admin, agent, new_picture=upload(PNG))
    admin.logout()
    assert "/accounts/login/" in admin.get(picture_url(agent))["Location"]


def test_reviewer_sees_the_picture_and_cannot_change_it(admin: Client, agent: Agent) -> None:
    save(admin, agent, new_picture=upload(PNG), display_name="Helper")
    reviewer = make_user("reviewer", is_staff=True)
    reviewer.user_permissions.add(Permission.objects.get(codename="view_agent"))
    admin.force_login(reviewer)
    shown = html(admin.get(reverse("admin:agents_app_agent_change", args=[agent.pk])))
    assert f'<img src="{picture_url(agent)}"' in shown
    assert "new_picture" not in shown
    assert save(admin, agent, new_picture=upload(JPEG)).status_code == 403
    assert bytes(AgentPicture.objects.get().content) == PNG


def test_bytes_beside_a_picture_must_be_text(admin: Client, agent: Agent) -> None:
    """The file may hold any bytes; the other fields, and one that has no file name, may not."""
    url = reverse("admin:agents_app_agent_change", args=[agent.pk])

    def post(*parts: tuple[bytes, bytes]) -> int:
        body = b"".join(
            b'--limit\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % part
            for part in [(b'name"', b"helper"), (b'type"', b"simple"), (b'config"', b"{}"), *parts]
        )
        kind = "multipart/form-data; boundary=limit"
        return admin.post(url, body + b"--limit--\r\n", content_type=kind).status_code

    picture = (b'new_picture"; filename="face.png"', PNG)
    assert post(picture, (b'description"', b"caf\xe9")) == 400
    assert post((b'description"; filename=""', b"caf\xe9")) == 400
    assert post((b'new_picture"; filename="caf\xe9.png"', PNG)) == 400
    assert post(picture, (b'description"', "café".encode())) == 302
    agent.refresh_from_db()
    assert agent.description == "café"
    assert agent.picture_digest
