// The tab's title says that an answer is being written or ready while the user is away.

import { isAnswering } from "./live_answer.js";

const WRITING = "Answering… – ";
const READY = "Answer ready – ";

export function setUpTitle() {
    document.addEventListener("visibilitychange", update);
    addEventListener("blur", update);
    addEventListener("focus", clear);
    document.addEventListener("answer-start", update);
    document.addEventListener("answer-end", () => {
        clear();
        if (isAway()) {
            document.title = READY + document.title;
        }
    });
}

function update() {
    if (!isAway()) {
        clear();
    } else if (isAnswering()) {
        clear();
        document.title = WRITING + document.title;
    }
}

function clear() {
    const prefix = [WRITING, READY].find((text) => document.title.startsWith(text)) ?? "";
    document.title = document.title.slice(prefix.length);
}

function isAway() {
    return document.hidden || !document.hasFocus();
}
