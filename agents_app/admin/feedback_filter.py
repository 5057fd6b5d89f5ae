"""The filter of the list of sessions by what users think of the answers."""

from django.db.models import Exists, OuterRef

from agents_app.models import Feedback
from sessions_app.admin.session_filters import ChoiceFilter
from sessions_app.querysets import SessionQuerySet


class FeedbackFilter(ChoiceFilter):
    """Whether an answer has feedback, and which."""

    title = "feedback"
    parameter_name = "feedback"
    choices_offered = [("good", "Good"), ("bad", "Bad"), ("any", "Any")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        feedback = Feedback.objects.filter(message__session=OuterRef("pk"))
        if value != "any":
            feedback = feedback.filter(is_good=value == "good")
        return sessions.filter(Exists(feedback))
