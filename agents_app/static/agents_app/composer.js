// The message form: keyboard, drafts, sending.

import { setUpAgentChip } from "./agent_chip.js";
import { focusMessage, hasKeyboard, jumpButton, messageForm, showError } from "./dom.js";
import { clearMessage, fitToText, markSent, restoreDraft, saveDraft, textSince } from "./drafts.js";
import { isAnswering } from "./live_answer.js";
import { enqueue } from "./queued_message.js";
import { refresh } from "./refresh_chat.js";
import { followLatest } from "./scrolling.js";
import { isSending, send } from "./submit_turn.js";

/** Set up the message form; `showChat` shows the chat that it starts, if any. */
export function setUpComposer(showChat) {
    const form = messageForm();
    const text = form.elements.namedItem("text");

    text.addEventListener("keydown", sendOnEnter);
    text.addEventListener("input", () => {
        fitToText();
        saveDraft();
        if (jumpButton()) {
            followLatest(); // the text box has grown
        }
    });
    setUpAgentChip();
    form.addEventListener("change", saveDraft);
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        submit(form, showChat);
    });
    restoreDraft();
    // Before this event, the browser scrolls to the URL's #run-… and removes the focus.
    addEventListener("load", () => {
        if (hasKeyboard && document.activeElement === document.body) {
            text.focus({ preventScroll: true });
        }
    });
}

function sendOnEnter(event) {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && !event.shiftKey && hasKeyboard && !composing) {
        event.preventDefault();
        if (event.target.value.trim()) {
            event.target.form.requestSubmit();
        }
    }
}

async function submit(form, showChat) {
    if (isSending() || !form.elements.namedItem("text").value.trim()) {
        return;
    }
    if (isAnswering()) {
        enqueue();
        focusMessage();
        return;
    }
    markSent();
    const button = form.querySelector("[data-send]");
    button.disabled = true;
    const refusal = await send(form, { showChat });
    if (!refusal && form.isConnected) {
        clearMessage(textSince());
    }
    button.disabled = false;
    focusMessage();
    await refresh(); // another tab may have sent a message first
    if (refusal?.isAnswering && isAnswering()) {
        enqueue();
    }
}
