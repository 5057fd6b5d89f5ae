// Keyboard shortcuts, and the dialog that lists them.

import { messageForm, transcript } from "./dom.js";
import { takeBack } from "./queued_message.js";

const OPEN = "dialog[open], [aria-haspopup][aria-expanded=true], .sidebar.open";
const FIELDS = "input, textarea, select, [contenteditable]";

export function setUpShortcuts() {
    // Before other handlers: a menu that Esc closes is then still open.
    document.addEventListener("keydown", onKey, { capture: true });
    document.addEventListener("click", (event) => {
        if (event.target.closest("[data-show-shortcuts]")) {
            showShortcuts();
        }
    });
}

function onKey(event) {
    if (event.isComposing || event.keyCode === 229 || event.altKey) {
        return;
    }
    const hasModifier = event.ctrlKey || event.metaKey;
    if (hasModifier && event.key.toLowerCase() === "k") {
        handle(event, openSearch);
    } else if (hasModifier || isSomethingOpen(event.target)) {
        return;
    } else if (event.key === "Escape") {
        handle(event, stop);
    } else if (event.key === "ArrowUp" && !event.shiftKey && isEmptyBox(event.target)) {
        handle(event, () => takeBack() || editLast());
    } else if (event.key === "?" && !event.target.closest(FIELDS)) {
        handle(event, showShortcuts);
    }
}

/** Keep the key's default action if there is nothing to do. */
function handle(event, action) {
    if (action()) {
        event.preventDefault();
        event.stopPropagation();
    }
}

function stop() {
    return press("button[form=stop-form]:not([hidden], :disabled)");
}

function editLast() {
    const controls = transcript()?.querySelectorAll("[data-edit]") ?? [];
    const last = Array.from(controls).at(-1);
    last?.click();
    return Boolean(last);
}

function openSearch() {
    const all = Array.from(document.querySelectorAll("[data-search]"));
    const isVisible = (element) => element.checkVisibility({ visibilityProperty: true });
    if (!all.some(isVisible)) {
        document.querySelector("[data-open-sidebar]")?.click();
    }
    const search = all.find(isVisible) ?? all[0];
    if (search?.matches("input")) {
        search.focus();
        search.select();
    } else {
        search?.click();
    }
    return Boolean(search);
}

function showShortcuts() {
    const dialog = document.querySelector("[data-shortcuts]");
    if (dialog && !dialog.open) {
        dialog.showModal();
    }
    return Boolean(dialog);
}

function press(selector) {
    const button = document.querySelector(selector);
    button?.click();
    return Boolean(button);
}

/** Whether a dialog, menu, drawer or popover handles the keys. */
function isSomethingOpen(target) {
    const folded = Array.from(document.querySelectorAll("details[open]"));
    return Boolean(target.closest("[data-edit-form]"))
        || Boolean(document.querySelector(OPEN))
        || (CSS.supports("selector(:popover-open)") && document.querySelector(":popover-open"))
        || folded.some((details) => details.contains(target) || !transcript()?.contains(details));
}

function isEmptyBox(target) {
    return target === messageForm()?.elements.namedItem("text") && target.value === "";
}
