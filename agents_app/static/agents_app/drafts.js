// The message being written: its draft in this tab's storage, and whether it was sent.

import { messageForm, showError } from "./dom.js";
import { findTurn } from "./transcript.js";

const PREFIX = "draft ";
const OWN_PREFIX = `${PREFIX}${document.body.dataset.user} `; // others may use this tab

let unconfirmed = null; // the sent message, until known to be stored

export function saveDraft() {
    const draft = { ...content(), unconfirmed };
    deleteDraft();
    if (draft.text) {
        try {
            sessionStorage.setItem(ownKey(), JSON.stringify(draft));
        } catch {
            // The storage is full; the message can still be sent.
        }
    }
}

/** Fill an empty message form with its draft after a reload or login. */
export function restoreDraft() {
    const form = messageForm();
    const text = form.elements.namedItem("text");
    const draft = JSON.parse(sessionStorage.getItem(ownKey()));
    if (draft && !text.value) {
        text.value = draft.text;
        unconfirmed = draft.unconfirmed;
        if (unconfirmed) {
            form.elements.namedItem("message_id").value = unconfirmed.id;
        }
        if (form.querySelector(`:is(option, [name=agent])[value="${draft.agent}"]`)) {
            const agent = form.elements.namedItem("agent");
            agent.value = draft.agent;
            agent.dispatchEvent(new Event("change", { bubbles: true }));
        }
    }
    fitToText();
}

/** Record what is being sent; if resent unchanged, it keeps its id. */
export function markSent() {
    const { text, agent } = content();
    if (unconfirmed && (unconfirmed.text !== text || unconfirmed.agent !== agent)) {
        renewId();
    }
    unconfirmed = { id: messageForm().elements.namedItem("message_id").value, text, agent };
    saveDraft();
}

/** The text written while the message was being sent. */
export function textSince() {
    const { text } = content();
    const sent = unconfirmed?.text ?? "";
    return text.startsWith(sent) ? text.slice(sent.length).trimStart() : text;
}

/** Prepare the form for another message. */
export function clearMessage(text = "") {
    messageForm().elements.namedItem("text").value = text;
    forgetSent();
    fitToText();
}

/** Take the message out of the form. */
export function takeMessage() {
    const message = { ...content(), id: messageForm().elements.namedItem("message_id").value };
    clearMessage();
    return message;
}

/** Put a message back into the form, before any text there. */
export function restoreMessage({ id, text, agent, wasSent }) {
    const { elements } = messageForm();
    const written = elements.namedItem("text").value;
    elements.namedItem("text").value = written.trim() ? `${text}\n\n${written}` : text;
    if (wasSent && !written.trim()) {
        elements.namedItem("message_id").value = id;
        unconfirmed = { id, text, agent };
    }
    saveDraft();
    fitToText();
}

/** This chat's queued message, or null. */
export function storedWaiting() {
    return JSON.parse(sessionStorage.getItem(waitingKey()));
}

/** Throws if the storage is full. */
export function storeWaiting(message) {
    if (message) {
        // Also as an unconfirmed draft, deleted once the page shows it.
        sessionStorage.setItem(waitingKey(), JSON.stringify({ ...message, unconfirmed: message }));
    } else {
        sessionStorage.removeItem(waitingKey());
    }
}

/** Treat the form's text as a message never sent. */
function forgetSent() {
    unconfirmed = null;
    renewId();
    saveDraft();
}

/** Delete the drafts of messages on the page: they are stored. */
export function deleteStoredDrafts() {
    for (const key of keys(OWN_PREFIX)) {
        const draft = JSON.parse(sessionStorage.getItem(key));
        const sent = draft.unconfirmed;
        if (sent && sent.text === draft.text && findTurn(sent.id)) {
            sessionStorage.removeItem(key);
        }
    }
    if (messageForm() && unconfirmed && findTurn(unconfirmed.id)) {
        if (unconfirmed.text === content().text) {
            showError("");
        }
        clearMessage(textSince());
    }
}

export function deleteDraft() {
    sessionStorage.removeItem(ownKey());
}

export function deleteDraftsOfOtherUsers() {
    for (const key of keys(PREFIX)) {
        if (!key.startsWith(OWN_PREFIX)) {
            sessionStorage.removeItem(key);
        }
    }
}

export function deleteAllDrafts() {
    keys(PREFIX).forEach((key) => sessionStorage.removeItem(key));
}

/** Grow the text box with its text in browsers without `field-sizing`. */
export function fitToText() {
    const text = messageForm().elements.namedItem("text");
    if (!CSS.supports("field-sizing", "content")) {
        text.style.height = "auto";
        text.style.height = `${text.scrollHeight}px`;
    }
}

function content() {
    const { elements } = messageForm();
    return {
        text: elements.namedItem("text").value,
        agent: elements.namedItem("agent")?.value ?? "",
    };
}

function ownKey() {
    return OWN_PREFIX + location.pathname;
}

function waitingKey() {
    return `${ownKey()}#waiting`;
}

function keys(prefix) {
    return Object.keys(sessionStorage).filter((key) => key.startsWith(prefix));
}

function renewId() {
    messageForm().elements.namedItem("message_id").value = randomId();
}

/** A version 4 UUID; `crypto.randomUUID` needs HTTPS or localhost. */
function randomId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
