"""The session list's filter by user feedback on answers."""

from django.db.models import Exists, OuterRef

from agents_app.models import Feedback
from sessions_app.admin.session_filters import ChoiceFilter
from sessions_app.querysets import SessionQuerySet


class FeedbackFilter(ChoiceFilter):
    """Filters by whether an answer has good, bad or any feedback."""

    title = "feedback"
    parameter_name = "feedback"
    choices_offered = [("good", "Good"), ("bad", "Bad"), ("any", "Any")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        feedback = Feedback.objects.filter(message__session=OuterRef("pk"))
        if value != "any":
            feedback = feedback.filter(is_good=value == "good")
        return sessions.filter(Exists(feedback))
