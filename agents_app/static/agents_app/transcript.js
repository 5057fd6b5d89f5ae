// The transcript's HTML: enhancing what the server rendered, finding turns, older messages.

import { getHtml } from "./api.js";
import { fragmentOf, transcript } from "./dom.js";
import { keepPosition } from "./scrolling.js";

/** Add what needs a script, such as times in the user's time zone. */
export function enhance(root) {
    for (const time of root.querySelectorAll("time")) {
        time.textContent = new Date(time.dateTime).toLocaleString(undefined, {
            dateStyle: "medium",
            timeStyle: "short",
        });
    }
    for (const link of root.querySelectorAll("[data-without-script]")) {
        link.hidden = true;
    }
    if (navigator.clipboard) {
        root.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });
    }
}

export function findTurn(messageId) {
    return transcript()?.querySelector(`[data-turn="${messageId}"]`);
}

/**
 * Append a turn; remove its earlier version, or the turn it replaces and all after that.
 * Returns its element.
 */
export function appendTurn(html, replaced) {
    transcript().querySelector(".empty")?.remove();
    const turn = fragmentOf(html).querySelector("[data-turn]");
    findTurn(turn.dataset.turn)?.remove();
    while (replaced?.nextElementSibling) {
        replaced.nextElementSibling.remove();
    }
    replaced?.remove();
    // Only the last one can be redone or continued.
    const forms = "[data-regenerate], [data-retry], [data-continue]";
    transcript().querySelectorAll(forms).forEach((form) => form.remove());
    transcript().append(turn);
    enhance(turn);
    return turn;
}

/** Move the line that marks the start of the agent's context. */
export function showContextStart(answer) {
    const first = document.getElementById(`m${answer.dataset.contextFrom}`)?.closest("[data-turn]");
    keepPosition(() => {
        transcript().querySelector("[data-context-start]")?.remove();
        if (first?.previousElementSibling) {
            const line = document.createElement("p");
            line.className = "context-start";
            line.dataset.contextStart = "";
            line.textContent = "The agent no longer sees the messages above.";
            first.before(line);
        }
    });
}

/** Load older messages when their link scrolls into view. */
export function setUpOlderMessages() {
    const link = transcript().querySelector("[data-older]");
    if (!link) {
        return;
    }
    const observer = new IntersectionObserver(async ([entry]) => {
        if (!entry.isIntersecting) {
            return;
        }
        observer.disconnect();
        try {
            const older = fragmentOf(await getHtml(`${link.href}&fragment=on`));
            enhance(older);
            keepPosition(() => link.closest(".older").replaceWith(older));
            setUpOlderMessages();
        } catch {
            link.textContent = "Show older messages (they could not be loaded)";
        }
    }, { rootMargin: "200px" });
    observer.observe(link);
}
