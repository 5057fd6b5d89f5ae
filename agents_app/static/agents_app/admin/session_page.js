// The admin's session page: keys for the neighbouring sessions, Copy buttons, the linked message.
// Keeps the scroll position when a side column form is sent; warns about an unsaved note.

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

const note = document.getElementById("review-note");
let savesNote = false; // every button of the note's form does

window.addEventListener("beforeunload", (event) => {
    if (!savesNote && note && note.value !== note.defaultValue) {
        event.preventDefault();
    }
});
// The page may be restored from the back/forward cache.
window.addEventListener("pageshow", () => { savesNote = false; });

// After a form in the side column, the page returns to the same scroll position, measured from
// the conversation, since messages appear above it.
const PLACE = "session-page-place";
const MESSAGES_SHOWN = 8_000; // milliseconds, if they are out of view
const conversation = document.querySelector(".conversation");
const side = document.querySelector(".session-side");
const address = () => location.pathname + location.search;
const top = () => conversation.getBoundingClientRect().top;

side?.addEventListener("submit", (event) => {
    savesNote = event.target === note?.form;
    const place = { address: address(), top: top(), side: side.scrollTop };
    sessionStorage.setItem(PLACE, JSON.stringify(place));
});

function returnToPlace() {
    const place = JSON.parse(sessionStorage.getItem(PLACE));
    sessionStorage.removeItem(PLACE);
    if (place?.address !== address()) {
        return false;
    }
    scrollBy({ top: top() - place.top, behavior: "instant" });
    side.scrollTop = place.side;
    const messages = document.querySelector("ul.messagelist");
    if (messages && messages.getBoundingClientRect().bottom <= 0) {
        const copy = messages.cloneNode(true);
        copy.classList.add("in-sight");
        copy.inert = true;
        document.body.append(copy);
        setTimeout(() => copy.remove(), MESSAGES_SHOWN);
    }
    return true;
}

if (!returnToPlace() && !location.hash) {
    document.querySelector("[data-linked]")?.scrollIntoView({ block: "center" });
}
