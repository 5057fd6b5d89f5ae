// Message actions: copy, edit, regenerate, switch versions.

import { JSON_TYPE, getHtml, post } from "./api.js";
import { focusMessage, fragmentOf, showError, transcript } from "./dom.js";
import { refresh } from "./refresh_chat.js";
import { isSending, send } from "./submit_turn.js";

const SHOWN_FOR = 2000; // milliseconds that a button shows the result
const STARTS_TURN = "[data-retry], [data-regenerate], [data-continue], [data-edit-form]";

export function setUpCopying() {
    transcript()?.addEventListener("click", (event) => {
        const button = event.target.closest("[data-copy]");
        if (button) {
            copy(button);
        }
    });
}

/** Handle the messages' forms in place. */
export function setUpMessageForms() {
    transcript().addEventListener("click", onClick);
    transcript().addEventListener("keydown", onKey);
    transcript().addEventListener("submit", onSubmit);
    document.querySelector(".bottom").addEventListener("toggle", focusFirstAgent, { capture: true });
}

/** Focus the menu of agents when it opens. `autofocus` would also apply on page load. */
function focusFirstAgent({ target, newState }) {
    if (newState === "open" && target.matches(".other-agents")) {
        target.querySelector("button").focus();
    }
}

/** Copy a message's source; an agent's is not on the page. */
async function copy(button) {
    const url = button.dataset.copy;
    const text = url
        ? getHtml(url, location.href)
        : button.closest(".message").querySelector(".text").textContent;
    try {
        // With a promise: the user activation may expire while the text is loading.
        const blob = Promise.resolve(text).then((value) => new Blob([value], { type: "text/plain" }));
        await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
        say(button, "Copied");
    } catch {
        say(button, "Not copied");
    }
}

function say(button, text) {
    button.dataset.said = text;
    document.querySelector("[data-announcer]").textContent = text;
    setTimeout(() => { delete button.dataset.said; }, SHOWN_FOR);
}

function onClick(event) {
    const link = event.target.closest("[data-edit]");
    const isPlain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (link && isPlain) {
        event.preventDefault();
        edit(link);
    } else if (event.target.closest("[data-cancel]")) {
        event.preventDefault();
        cancel(event.target.closest("[data-edit-form]"));
    }
}

/** Show the edit form in the message's place. */
async function edit(link) {
    const message = link.closest(".message");
    if (message.querySelector("[data-edit-form]")) {
        return;
    }
    try {
        const form = fragmentOf(await getHtml(link.href, link.href)).querySelector("[data-edit-form]");
        message.append(form);
        message.classList.add("editing");
        const text = form.elements.namedItem("text");
        text.focus();
        text.setSelectionRange(text.value.length, text.value.length);
    } catch (error) {
        showError(error.message);
    }
}

function cancel(form) {
    const message = form.closest(".message");
    form.remove();
    message.classList.remove("editing");
    message.querySelector("[data-edit]").focus();
}

function onKey(event) {
    const form = event.target.closest("[data-edit-form]");
    if (!form || event.isComposing) {
        return;
    }
    if (event.key === "Escape") {
        event.stopPropagation();
        cancel(form);
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        form.requestSubmit();
    }
}

function onSubmit(event) {
    const form = event.target;
    if (form.matches(STARTS_TURN)) {
        event.preventDefault();
        startTurn(form, event.submitter);
    } else if (form.matches("[data-choose-version]")) {
        event.preventDefault();
        choose(form, event.submitter);
    }
}

/** `button` submitted the form; in the menu of agents, it names the agent. */
async function startTurn(form, button) {
    if (isSending()) {
        return;
    }
    button?.closest("[popover]")?.hidePopover();
    if (!await send(form, { button })) {
        focusMessage();
    }
    refresh();
}

async function choose(form, button) {
    showError("");
    try {
        await post(form, JSON_TYPE, button);
    } catch (error) {
        showError(error.message);
        return;
    }
    const isNext = button === form.querySelector("button:last-of-type");
    await refresh();
    const shown = document.getElementById(`version-${button.value}`);
    const buttons = Array.from(shown?.querySelectorAll("button") ?? []);
    const enabled = (isNext ? buttons.reverse() : buttons).find((other) => !other.disabled);
    shown?.scrollIntoView({ block: "nearest" });
    enabled?.focus({ preventScroll: true });
}
