"""The URLs of the chat pages."""

from django.urls import path
from django.views.generic import RedirectView

from agents_app.web import (
    agent_views,
    chat_list_views,
    chat_organizing_views,
    chat_views,
    export_views,
    feedback_views,
    message_views,
    run_views,
)

MESSAGE = "chats/<uuid:session_id>/messages/<uuid:message_id>/"
RUN = "chats/<uuid:session_id>/runs/<uuid:run_id>/"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="chats"), name="home"),
    path("chats/", chat_views.chats, name="chats"),
    path("chats/export/", export_views.export_chats, name="chats-export"),
    path("chats/all/", chat_list_views.all_chats, name="chats-all"),
    path("chats/all/delete/", chat_list_views.delete_all, name="chats-all-delete"),
    path("chats/sidebar/", chat_list_views.sidebar, name="chats-sidebar"),
    path("chats/restore/", chat_list_views.restore_together, name="chats-restore"),
    path("chats/trash/", chat_list_views.trash, name="chats-trash"),
    path("chats/trash/empty/", chat_list_views.empty_trash, name="chats-trash-empty"),
    path("chats/trash/restore/", chat_list_views.restore_all, name="chats-trash-restore"),
    path("chats/<uuid:session_id>/", chat_views.chat, name="chat"),
    path("chats/<uuid:session_id>/export/", export_views.export_chat, name="chat-export"),
    path("chats/<uuid:session_id>/messages/", message_views.send, name="chat-send"),
    path(f"{MESSAGE}regenerate/", message_views.regenerate, name="chat-regenerate"),
    path(f"{MESSAGE}edit/", message_views.edit, name="chat-edit"),
    path(f"{MESSAGE}feedback/", feedback_views.feedback, name="chat-feedback"),
    path(f"{MESSAGE}answer.txt", message_views.raw_answer, name="chat-source"),
    path("chats/<uuid:session_id>/versions/", message_views.choose, name="chat-version"),
    path("chats/<uuid:session_id>/rename/", chat_organizing_views.rename, name="chat-rename"),
    path("chats/<uuid:session_id>/pin/", chat_organizing_views.pin, name="chat-pin"),
    path("chats/<uuid:session_id>/delete/", chat_organizing_views.delete, name="chat-delete"),
    path("chats/<uuid:session_id>/restore/", chat_organizing_views.restore, name="chat-restore"),
    path(
        "chats/<uuid:session_id>/delete-forever/",
        chat_organizing_views.delete_forever,
        name="chat-delete-forever",
    ),
    path(f"{RUN}stop/", run_views.stop, name="chat-stop"),
    path(f"{RUN}retry/", run_views.retry, name="chat-retry"),
    path(f"{RUN}continue/", run_views.continue_answer, name="chat-continue"),
    path(f"{RUN}events", run_views.events, name="chat-events"),
    path("agents/<int:agent_id>/starters", agent_views.starters, name="agent-starters"),
    path("agents/<int:agent_id>/picture/<slug:digest>", agent_views.picture, name="agent-picture"),
]
