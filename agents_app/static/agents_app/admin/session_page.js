// The admin's page of a session: keys for the sessions beside it, Copy buttons, the linked message.

import { setUpCodeCopy } from "../code_copy.js";

const FIELDS = "input, textarea, select, [contenteditable]";

setUpCodeCopy();

document.addEventListener("keydown", (event) => {
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (hasModifier || event.isComposing || event.repeat || event.target.closest(FIELDS)) {
        return;
    }
    const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
    if (link) {
        event.preventDefault();
        link.click();
    }
});

if (!location.hash) {
    document.querySelector("[data-linked]")?.scrollIntoView({ block: "center" });
}
