// Thumbs up and down, and the reason, without leaving the page.

import { JSON_TYPE, post } from "./api.js";
import { fragmentOf, showError } from "./dom.js";

export function setUpFeedback() {
    document.addEventListener("submit", (event) => {
        const feedback = event.target.closest("[data-feedback]");
        if (feedback) {
            event.preventDefault();
            give(feedback, event.target, event.submitter);
        }
    });
}

async function give(feedback, form, submitter) {
    if (feedback.ariaBusy) {
        return;
    }
    feedback.ariaBusy = "true";
    try {
        const { html } = await (await post(form, JSON_TYPE, submitter)).json();
        const isRating = form.matches("[data-rating]");
        const hadFocus = feedback.contains(document.activeElement);
        const updated = fragmentOf(html).querySelector("[data-feedback]");
        feedback.replaceWith(updated);
        const reason = updated.querySelector("details");
        if (isRating && reason) {
            reason.open = true;
        }
        if (hadFocus) {
            const selector = isRating ? `[data-thumb=${submitter.dataset.thumb}]` : "summary";
            updated.querySelector(selector).focus();
        }
        showError("");
    } catch (error) {
        feedback.ariaBusy = null;
        showError(error.message);
    }
}
