// The answer being written: streaming, reconnecting, stopping.

import { InvalidEvent, JSON_TYPE, NOT_SHOWN, Refusal, getEvents, post } from "./api.js";
import { focusMessage, fragmentOf, messageForm, showError } from "./dom.js";
import { StreamedHtml, finishAnswer, showReasoning } from "./streamed_html.js";
import { enhance, showContextStart } from "./transcript.js";

const FIRST_RETRY = 500; // milliseconds
const LONGEST_RETRY = 10_000;
const MAX_INVALID = 3; // invalid events in one answer before giving up

const OPENING = 120; // characters of an answer to announce

const WRITING = "The answer is being written.";
const THINKING = "Thinking…";

let watched = null; // the element of the answer being written

export function isAnswering() {
    return watched !== null;
}

/** Watch the unfinished answer in an element, if there is one; `events` is its open stream. */
export function watchAnswer(root, events) {
    const answer = root.querySelector("[data-events]");
    if (answer) {
        watch(answer, events);
    } else {
        events?.return();
    }
}

/** Send the stop form without leaving the page. */
export function setUpStop() {
    const form = stopForm();
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        event.submitter.disabled = true;
        try {
            await post(form, JSON_TYPE); // an event reports the end
        } catch (error) {
            event.submitter.disabled = false;
            showError(error.message);
        }
    });
}

async function watch(answer, events) {
    watched = answer;
    document.dispatchEvent(new Event("answer-started"));
    stopForm().action = answer.dataset.stop;
    setStoppable(true);
    announce("The agent is answering.");
    dispatch("answer-start", "");
    let delay = FIRST_RETRY;
    let invalid = 0;
    let end = null;
    while (end === null && watched === answer) {
        try {
            const stream = events ?? await getEvents(answer.dataset.events);
            end = await follow(answer, stream, () => { delay = FIRST_RETRY; });
        } catch (error) {
            const retry = error instanceof InvalidEvent && ++invalid < MAX_INVALID;
            if (error instanceof Refusal && !retry) {
                end = { status: "refused", html: "" };
                showError(error.message);
            }
        }
        events = null;
        if (end === null && watched === answer) {
            showWaiting(answer, "Connection lost. Reconnecting…");
            const pause = new AbortController();
            await new Promise((resolve) => {
                setTimeout(resolve, delay);
                addEventListener("online", resolve, { signal: pause.signal });
            });
            pause.abort();
            delay = Math.min(delay * 2, LONGEST_RETRY);
        }
    }
    if (watched !== answer) {
        return; // now watching another answer
    }
    watched = null;
    setStoppable(false);
    finish(answer, end);
    dispatch("answer-end", end.status);
    document.dispatchEvent(new Event("answer-ended"));
}

/** Show text as it arrives; returns the end event's data, or null if disconnected. */
async function follow(answer, events, onText) {
    const element = answer.querySelector("[data-stream]");
    const text = new StreamedHtml(element);
    let reasoning = "";
    showProgress(answer);
    for await (const event of events) {
        if (watched !== answer) {
            return null;
        }
        if (event.name === "waiting") {
            showWaiting(answer, waitingText(event.data.place));
        } else if (event.name === "text") {
            onText();
            text.apply(event.data);
            answer.querySelector(".reasoning summary")?.replaceChildren("Reasoning");
            showWaiting(answer, WRITING);
        } else if (event.name === "reasoning") {
            onText();
            reasoning += event.data.html;
            showReasoning(element, reasoning);
            showWaiting(answer, WRITING);
        } else if (event.name === "tools") {
            showProgress(answer, event.data.names);
        } else if (event.name === "end") {
            const isActive = ["pending", "running"].includes(event.data.status);
            return isActive ? null : event.data;
        }
    }
    return null;
}

function finish(answer, { status, html }) {
    const finished = fragmentOf(html).querySelector("[data-answer]");
    if (finished) {
        const versions = answer.querySelector("[data-versions]");
        if (versions) {
            finished.querySelector("[data-versions]")?.replaceWith(versions);
        }
        const ended = finishAnswer(answer, finished);
        announce(announcementText(ended));
        enhance(ended);
        showContextStart(ended);
        showError("");
        return;
    }
    answer.querySelector("[data-waiting]")?.remove();
    answer.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
    if (status === "deleted") {
        showError("This chat was deleted.");
        for (const element of messageForm()?.elements ?? []) {
            element.disabled = true;
        }
    } else if (status !== "refused") {
        showError(NOT_SHOWN);
    }
}

/** The announcement of an ended answer: its outcome and opening. */
function announcementText(answer) {
    const end = answer.querySelector(".failure p, .stopped")?.textContent.trim();
    const words = answer.querySelector("article:last-of-type .text")?.cloneNode(true);
    words?.querySelectorAll(".code-head").forEach((head) => head.remove());
    const text = words?.textContent.trim() ?? "";
    const opening = text.length > OPENING
        ? `${text.slice(0, OPENING).replace(/\s\S*$/, "")}…`
        : text;
    return [end ?? "Answer ready", opening].filter(Boolean).join(". ");
}

/** Have screen readers say it. */
function announce(text) {
    document.querySelector("[data-announcer]").textContent = text;
}

/** Notify modules that listen on the document. */
function dispatch(name, status) {
    document.dispatchEvent(new CustomEvent(name, { detail: { status } }));
}

function hasBegun(answer) {
    return answer.querySelector(".streaming .reasoning, [data-stream] > *") !== null;
}

function waitingText(place) {
    if (place === 0) {
        return "Next in line: other answers are being written.";
    }
    return `Waiting in line behind ${place} other ${place === 1 ? "answer" : "answers"}.`;
}

function showProgress(answer, tools) {
    const text = hasBegun(answer) ? WRITING : THINKING;
    showWaiting(answer, tools ? `Using ${tools}…` : text);
}

function showWaiting(answer, text) {
    const line = answer.querySelector("[data-waiting-text]");
    // Below growing text, the dot is enough, and nothing moves.
    line.classList.toggle("visually-hidden", text === WRITING && hasBegun(answer));
    if (line.textContent !== text) {
        line.textContent = text;
    }
}

/** Show or hide Stop. Send stays, to queue the next message. */
function setStoppable(value) {
    const stop = document.querySelector("button[form=stop-form]");
    const hadFocus = document.activeElement === stop || stop?.disabled; // disabled once pressed
    stop?.toggleAttribute("hidden", !value);
    stop?.removeAttribute("disabled");
    messageForm()?.querySelector("[data-send]").removeAttribute("hidden");
    if (hadFocus && !value) {
        focusMessage();
    }
}

function stopForm() {
    return document.querySelector("[data-stop-form]");
}
