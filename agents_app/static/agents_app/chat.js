// The entry point of the chat pages: sets up whatever the page has. All forms
// also work without it. The server renders all HTML except for a queued message.

import { pageOf } from "./started_chat.js";
import { setUpCodeCopy } from "./code_copy.js";
import { setUpComposer } from "./composer.js";
import { jumpButton, messageForm, transcript } from "./dom.js";
import {
    clearMessage, deleteAllDrafts, deleteDraft, deleteDraftsOfOtherUsers, deleteStoredDrafts,
    textSince,
} from "./drafts.js";
import { setUpFeedback } from "./feedback.js";
import { isAnswering, setUpStop, watchAnswer } from "./live_answer.js";
import { setUpCopying, setUpMessageForms } from "./message_actions.js";
import { setUpQueue } from "./queued_message.js";
import { refresh } from "./refresh_chat.js";
import { setUpScrolling } from "./scrolling.js";
import { setUpShortcuts } from "./shortcuts.js";
import { refreshSidebar, setUpSidebar } from "./sidebar.js";
import { setUpTitle } from "./tab_title.js";
import { enhance, setUpOlderMessages } from "./transcript.js";

/** Set up the page; `events` is the open stream of its unfinished answer. */
function setUpPage(events) {
    if (messageForm()) {
        setUpComposer(showChat);
    }
    setUpCopying();
    enhance(document);
    deleteStoredDrafts();
    if (jumpButton()) {
        setUpLatest(events);
    } else if (transcript()) {
        setUpOlderMessages();
    }
}

/** Set up a page with the chat's latest messages. */
function setUpLatest(events) {
    watchAnswer(document, events);
    setUpScrolling();
    setUpOlderMessages();
    setUpStop();
    setUpMessageForms();
    setUpQueue();
    addEventListener("focus", refresh);
    document.addEventListener("visibilitychange", () => {
        if (document.visibilityState === "visible") {
            refresh();
        }
    });
}

/** Show a new chat as if its page had been loaded. */
function showChat(chat, events) {
    const text = textSince();
    deleteDraft(); // of the start page
    document.querySelector("main").replaceChildren(pageOf(chat));
    document.body.className = "chat";
    document.querySelector(".new[aria-current]")?.removeAttribute("aria-current");
    history.pushState(null, "", chat.url);
    document.title = chat.title;
    setUpPage(events);
    clearMessage(text);
    if (!isAnswering()) {
        refreshSidebar(); // otherwise an answer's start does
    }
}

/** Reload after going back or forward between the start page and its new chat. */
function reloadIfElsewhere() {
    const isChat = document.body.className === "chat";
    const { pathname } = document.querySelector(".new") ?? {};
    if (messageForm() && isChat === (location.pathname === pathname)) {
        location.reload();
    }
}

deleteDraftsOfOtherUsers();
setUpCodeCopy();
setUpTitle();
setUpPage();
setUpFeedback();
setUpShortcuts();
setUpSidebar();
document.querySelector("[data-log-out]")?.addEventListener("submit", deleteAllDrafts);
addEventListener("pageshow", (event) => {
    if (event.persisted) {
        refresh(); // restored from the back/forward cache
    }
});
addEventListener("popstate", reloadIfElsewhere);
reloadIfElsewhere(); // the user may have been faster than this script
