"""The admin pages of agents."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from agents_app import agent_pictures
from agents_app.llm.model_strings import check_model_string
from agents_app.models import Agent
from sessions_app.admin.shared import PermittedFieldsAdmin, time_field
from sessions_app.displayable import encodable
from sessions_app.storable import UnstorableText, storable_json

MAX_STARTERS, STARTER_LENGTH = 8, 200


class ConfigField(forms.JSONField):
    """A JSON object that every database can store; accepts `stored` unchanged, whatever it is."""

    stored: Any = None

    def to_python(self, value: Any) -> Any:
        try:
            config = super().to_python(value)
            if config is None:
                return {}
            if config == self.stored:
                return config
            config = storable_json(config)
        except UnstorableText as error:
            raise ValidationError(str(error), code="unstorable") from None
        except (ValueError, RecursionError):  # numbers too long, or nested too deeply
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None
        if not isinstance(config, dict):
            raise ValidationError("Enter a JSON object, such as {}.", code="no_object")
        return config

    def bound_data(self, data: Any, initial: Any) -> Any:
        return InvalidJSONInput(data)  # shown as typed

    def prepare_value(self, value: Any) -> Any:
        return encodable(super().prepare_value(value))


class StarterPromptsField(forms.CharField):
    """A few short prompts, one per line."""

    widget = forms.Textarea

    def clean(self, value: Any) -> str:
        prompts = [line.strip() for line in (super().clean(value) or "").splitlines()]
        prompts = [prompt for prompt in prompts if prompt]
        if len(prompts) > MAX_STARTERS:
            raise ValidationError(f"Enter at most {MAX_STARTERS} prompts.", code="too_many")
        if any(len(prompt) > STARTER_LENGTH for prompt in prompts):
            text = f"A prompt can have at most {STARTER_LENGTH} characters."
            raise ValidationError(text, code="too_long")
        return "\n".join(prompts)


class PictureField(forms.FileField):
    """An uploaded picture of an agent, as bytes."""

    widget = forms.FileInput(attrs={"accept": ",".join(agent_pictures.MEDIA_TYPES)})

    def clean(self, data: Any, initial: Any = None) -> bytes | None:
        upload = super().clean(data, initial)
        if not upload:
            return None
        content: bytes = upload.read(agent_pictures.MAX_BYTES + 1)
        try:
            agent_pictures.check_picture(content)
        except agent_pictures.InvalidPicture as error:
            raise ValidationError(str(error), code="invalid_picture") from None
        return content


class AgentForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such subscript
    """Validates model strings, so that the first chat is not the one to fail.

    Stored values are not validated again: an imported agent whose model is not available here can
    still be deactivated.
    """

    config = ConfigField(required=False)
    starter_prompts = StarterPromptsField(
        required=False,
        help_text=f"Suggested prompts for a new chat, one per line; at most {MAX_STARTERS}.",
    )
    new_picture = PictureField(
        required=False,
        label="Picture",
        help_text=f"PNG, JPEG or WebP, square, at most {agent_pictures.MAX_BYTES // 1024} KB.",
    )
    remove_picture = forms.BooleanField(required=False)

    class Meta:
        model = Agent
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets choose

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        # Users who may only view get no fields.
        if isinstance(config := self.fields.get("config"), ConfigField):
            config.stored = self.instance.config
        if "type" in self.fields:
            self.fields["type"].required = bool(self.instance.type)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        stored: str = self.instance.name
        return stored if name == stored.strip() else name

    def clean_model(self) -> str:
        model: str = self.cleaned_data["model"]
        stored: str = self.instance.model
        if model == stored.strip():
            return stored
        check_model_string(model)
        return model


PROFILE = ("display_name", "description", "starter_prompts", "picture_shown")
UPLOAD = ("new_picture", "remove_picture")


@admin.register(Agent)
class AgentAdmin(PermittedFieldsAdmin):
    """Agents: model, system prompt, and whether users can chat with them."""

    form = AgentForm
    list_display = ("name", "display_name", "model_or_default", "active")
    list_filter = ("active",)
    search_fields = ("name", "display_name", "model", "description")

    fieldsets = (
        (None, {"fields": ("name", "active")}),
        ("Profile", {"fields": PROFILE}),
        ("Behaviour", {"fields": ("model", "system_prompt")}),
        ("Details", {"fields": ("type", "config", "created_at_shown", "updated_at_shown")}),
    )
    readonly_fields = ("picture_shown", "created_at_shown", "updated_at_shown")

    shows_times, lists_times = True, False
    created_at_shown = time_field("created_at")
    updated_at_shown = time_field("updated_at")

    @admin.display(description="model", ordering="model")
    def model_or_default(self, agent: Agent) -> str:
        return agent.model or "(default)"

    @admin.display(description="picture now")
    def picture_shown(self, agent: Agent) -> str:
        if not agent.picture_digest:
            return "none; the agent's initial is shown"
        url = reverse("agent-picture", args=[agent.pk, agent.picture_digest])
        return format_html('<img src="{}" alt="" width="64" height="64">', url)

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        """Add the upload for users who may change the agent."""
        general, (title, profile), *others = super().get_fieldsets(request, obj)
        may_change = self.has_change_permission(request, obj) if obj else True
        fields = (*profile["fields"], *(UPLOAD if may_change else ()))
        return (general, (title, {**profile, "fields": fields}), *others)

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)
        if content := form.cleaned_data.get("new_picture"):
            agent_pictures.store_picture(obj, content)
        elif form.cleaned_data.get("remove_picture"):
            agent_pictures.remove_picture(obj)
