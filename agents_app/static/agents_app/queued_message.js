// A message written during an answer: queued below it, and sent when it ends.

import { focusMessage, fragmentOf, messageForm, showError, transcript } from "./dom.js";
import { restoreMessage, storeWaiting, storedWaiting, takeMessage } from "./drafts.js";
import { isAnswering } from "./live_answer.js";
import { refresh } from "./refresh_chat.js";
import { followLatest, scrollToLatest } from "./scrolling.js";
import { send } from "./submit_turn.js";

const WAITING = "Queued until the answer ends.";
const TOO_LONG = "This message is too long to queue. Send it when the answer ends.";
const RESTORED = "The answer did not finish. Your next message is back in the form.";

/** After a reload, show the queued message, or send it if its answer has ended. */
export function setUpQueue() {
    const message = storedWaiting();
    if (!message || !messageForm()) {
        return;
    }
    show(message);
    if (!isAnswering()) {
        const last = lastAnswer();
        sendOrRestore(last?.id === message.after ? last.dataset.status : "unknown");
    }
}

/** Queue the message in the form, one at a time. */
export function enqueue() {
    if (storedWaiting()) {
        showError("A message is already queued. Take it back to change it.");
        return;
    }
    const message = takeMessage();
    try {
        wait(message);
    } catch (error) {
        if (error.name !== "QuotaExceededError") {
            throw error;
        }
        restoreMessage(message);
        showError(TOO_LONG);
        return;
    }
    scrollToLatest();
    document.querySelector("[data-announcer]").textContent = WAITING;
}

/** Put the queued message back into the form. Returns false if there is none. */
export function takeBack() {
    const message = storedWaiting();
    if (!message) {
        return false;
    }
    forget();
    restoreMessage(message);
    focusMessage();
    return true;
}

/**
 * Send the queued message if the answer was completed. Otherwise put it back into the form:
 * it was meant to follow that answer.
 */
async function sendOrRestore(status) {
    const message = storedWaiting();
    if (!message || !messageForm()) {
        return;
    }
    if (status !== "done") {
        forget();
        restoreMessage(message);
        showError(RESTORED);
        return;
    }
    element()?.remove();
    const refusal = await send(formFor(message));
    if (refusal?.isAnswering) {
        await refresh();
        if (isAnswering()) {
            wait(message); // another tab was first
            return;
        }
    }
    forget();
    if (refusal) {
        restoreMessage({ ...message, wasSent: true });
    }
}

/** Queue a message until the current answer ends. */
function wait({ id, text, agent }) {
    showError("");
    storeWaiting({ id, text, agent, after: lastAnswer().id });
    show({ text });
}

function forget() {
    storeWaiting(null);
    element()?.remove();
}

function show(message) {
    const waiting = fragmentOf(
        `<article class="message mine queued" data-queued>
            <h2 class="visually-hidden">Your next message</h2>
            <div class="text plain" dir="auto"></div>
            <p class="about"><span></span> <button type="button" class="link">Take back</button></p>
        </article>`,
    ).firstChild;
    waiting.querySelector(".text").textContent = message.text;
    waiting.querySelector("span").textContent = WAITING;
    waiting.querySelector("button").addEventListener("click", takeBack);
    transcript().after(waiting);
    followLatest();
}

function element() {
    return document.querySelector("[data-queued]");
}

function lastAnswer() {
    return Array.from(transcript().querySelectorAll("[data-answer]")).at(-1);
}

function formFor({ id, text, agent }) {
    const form = document.createElement("form");
    form.action = messageForm().action;
    for (const [name, value] of Object.entries({ message_id: id, text, agent })) {
        const field = document.createElement("input");
        field.type = "hidden";
        Object.assign(field, { name, value });
        form.append(field);
    }
    return form;
}

document.addEventListener("answer-end", ({ detail }) => sendOrRestore(detail.status));
