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
 * Send the form as if by `button`. Show its turn in place of the one containing the form, or a
 * new chat with `showChat`. Returns null, or the refusal after showing it.
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
