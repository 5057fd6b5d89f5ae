// Scrolling: the page follows the latest message until the user scrolls up.

import { focusMessage, jumpButton, transcript } from "./dom.js";

const NEAR_BOTTOM = 60; // pixels

const page = document.scrollingElement;
let follows = true;
let lastTop = 0;

export function setUpScrolling() {
    history.scrollRestoration = "manual";
    lastTop = page.scrollTop;
    addEventListener("scroll", () => {
        // Events of our own scrolling come late: the page may have grown since.
        const isUp = page.scrollTop < lastTop;
        lastTop = page.scrollTop;
        follows = isNearBottom() || (follows && !isUp);
        jumpButton().hidden = follows;
    }, { passive: true });
    jumpButton().addEventListener("click", () => {
        scrollToLatest();
        focusMessage();
    });
    // A search result. `:target` does not match until the page has loaded.
    const found = document.getElementById(location.hash.slice(1));
    if (found?.matches(".message, mark")) {
        found.scrollIntoView({ block: "center" });
        follows = isNearBottom();
    } else {
        scrollToLatest();
    }
    // An answer or error grows, or the window shrinks, e.g. for a phone's keyboard.
    const observer = new ResizeObserver(followLatest);
    observer.observe(transcript());
    observer.observe(document.body);
    addEventListener("resize", followLatest);
}

export function scrollToLatest() {
    follows = true;
    page.scrollTop = page.scrollHeight;
    lastTop = page.scrollTop;
    jumpButton().hidden = true;
}

/** Scroll to the latest message, unless the user has scrolled up. */
export function followLatest() {
    if (follows) {
        scrollToLatest();
    } else {
        jumpButton().hidden = isNearBottom();
    }
}

/** Make a change above the view without moving the view. */
export function keepPosition(change) {
    const fromBottom = page.scrollHeight - page.scrollTop;
    change();
    page.scrollTop = page.scrollHeight - fromBottom;
}

function isNearBottom() {
    return page.scrollHeight - page.clientHeight - page.scrollTop < NEAR_BOTTOM;
}
