"""The URLs of the chat pages."""

from django.urls import path
from django.views.generic import RedirectView

from agents_app import views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="chats"), name="home"),
    path("chats/", views.chats, name="chats"),
    path("chats/<uuid:session_id>/", views.chat, name="chat"),
    path("chats/<uuid:session_id>/messages/", views.send, name="chat-send"),
    path("chats/<uuid:session_id>/rename/", views.rename, name="chat-rename"),
    path("chats/<uuid:session_id>/delete/", views.delete, name="chat-delete"),
    path("chats/<uuid:session_id>/runs/<uuid:run_id>/stop/", views.stop, name="chat-stop"),
    path("chats/<uuid:session_id>/runs/<uuid:run_id>/retry/", views.retry, name="chat-retry"),
    path("chats/<uuid:session_id>/runs/<uuid:run_id>/events", views.events, name="chat-events"),
]
