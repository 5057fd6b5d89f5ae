// Sending a form that starts a turn: a message, an edited one, a retry. One at a time.

import { NOT_SHOWN, Refusal, postForEvents } from "./api.js";
import { showError } from "./dom.js";
import { watchAnswer } from "./live_answer.js";
import { scrollToLatest } from "./scrolling.js";
import { appendTurn } from "./transcript.js";

let sending = false;

export function isSending() {
    return sending;
}

/**
 * Send the form, as `button` does, and show its turn, which takes the place of the turn that the
 * form is in, or what `showChat` makes of a new chat with its first turn.
 * Returns null, or the refusal, whose reason it shows.
 */
export async function send(form, { button = null, showChat = null } = {}) {
    sending = true;
    showError("");
    try {
        const { first, events } = await postForEvents(form, button);
        if (first.name === "turn") {
            watchAnswer(appendTurn(first.data.html, form.closest("[data-turn]")), events);
            scrollToLatest();
        } else if (first.name === "chat") {
            showChat(first.data, events);
        } else {
            throw new Refusal(NOT_SHOWN);
        }
        return null;
    } catch (error) {
        showError(error.message);
        return error;
    } finally {
        sending = false;
    }
}
