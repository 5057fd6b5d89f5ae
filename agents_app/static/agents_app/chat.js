// The entry of the chat pages' script: sets up the parts that the page has.
// Every form also works without it. The server renders the HTML, but for a message that waits.

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

let path = location.pathname; // of the page that is shown

/** Set up the page; `events` are the open stream of its unfinished answer. */
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

/** The page of a chat's latest messages, where it continues. */
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

/** Show a new chat in place of the list, as if its page had been loaded. */
function showChat(chat, events) {
    const text = textSince();
    deleteDraft(); // of the list's form
    document.querySelector("main").replaceChildren(pageOf(chat));
    document.body.className = "chat";
    document.querySelector(".new[aria-current]")?.removeAttribute("aria-current");
    history.pushState(null, "", chat.url);
    document.title = chat.title;
    path = location.pathname;
    setUpPage(events);
    clearMessage(text);
    if (!isAnswering()) {
        refreshSidebar(); // an answer that begins does so, too
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
        refresh(); // the browser has kept the page as it was
    }
});
addEventListener("popstate", () => {
    if (location.pathname !== path) {
        location.reload(); // between the list and the chat that took its place
    }
});
