// The chat pages: sends forms without leaving the page, and watches answers as they come.
// Everything also works without it; the server renders whatever is shown.

const RETRY_FIRST = 500; // milliseconds before a broken connection is tried again
const RETRY_LONGEST = 10_000;
const UNREADABLE_MOST = 3; // events of one answer; then trying again has not helped
const NEAR_BOTTOM = 60; // pixels
const DRAFTS = "draft ";
const OWN_DRAFTS = `${DRAFTS}${document.body.dataset.user} `; // others may log in in this tab
const DRAFT = OWN_DRAFTS + location.pathname;
const AGENT = "[data-agent]"; // who answers in this chat
const AGENT_CHOICE = "[data-agent-choice]"; // or who is to
const JSON_TYPE = "application/json";
const EVENTS_TYPE = "text/event-stream";
const UNREACHABLE = "The server cannot be reached. Try again.";
const NOT_SHOWN = "The answer could not be shown. Reload the page.";

const page = document.scrollingElement;
const transcript = document.querySelector("[data-transcript]");
const messageForm = document.querySelector("[data-message-form]");
const stopForm = document.querySelector("[data-stop-form]");
const announcer = document.querySelector("[data-announcer]");
const rename = document.querySelector("details.rename");
const jump = document.querySelector("[data-jump]");
const isLatest = Boolean(jump); // not a page of older messages

/** Something that the person must be told; trying again does not help. */
class Refusal extends Error {}

/** An event that is not as this script knows it; whoever reconnects may be sent a better one. */
class Unreadable extends Refusal {}

// --- Talking to the server ---------------------------------------------------

/** Send a form; returns a response of the type that was asked for. */
async function post(form, type) {
    const fields = new URLSearchParams(new FormData(form)); // keeps line breaks as they are
    const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
    const response = await fetch(form.action, {
        method: "POST",
        body: fields,
        headers: { Accept: type, "X-CSRFToken": token },
    }).catch(() => { throw new Refusal(UNREACHABLE); });
    if (response.ok && hasType(response, type)) {
        return response;
    }
    if (hasType(response, JSON_TYPE)) {
        throw new Refusal((await response.json()).error);
    }
    throw new Refusal(refusalOf(response));
}

/** Send a form that is to be answered; shows its turn, and the answer as it comes. */
async function ask(form) {
    const events = eventsOf(await post(form, EVENTS_TYPE));
    const { value: event } = await events.next().catch((error) => {
        throw error instanceof Refusal ? error : new Refusal(UNREACHABLE);
    });
    if (event?.name !== "turn") {
        throw new Refusal(UNREACHABLE);
    }
    showTurn(event.data.html, events);
}

/** The events of a stream; it ends early when the connection breaks. */
async function* eventsOf(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done) {
                return;
            }
            const frames = (rest + value).split("\n\n");
            rest = frames.pop();
            for (const event of frames.map(parse).filter(Boolean)) {
                if (typeof event.data?.html !== "string") {
                    throw new Unreadable(NOT_SHOWN);
                }
                yield event;
            }
        }
    } finally {
        reader.cancel().catch(() => {});
    }
}

/** An event of the stream, or null for a line that only keeps the connection alive. */
function parse(frame) {
    const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(frame) ?? [];
    return name ? { name, data: JSON.parse(data) } : null;
}

function hasType(response, type) {
    return (response.headers.get("Content-Type") ?? "").startsWith(type);
}

function refusalOf(response) {
    if (response.redirected || response.status === 403) {
        return "You are not logged in any more. Reload the page.";
    }
    if (response.status === 404) {
        return "This chat does not exist any more.";
    }
    if (response.status === 400 || response.status === 413) {
        return "The server did not accept this message; it may be too long.";
    }
    return "The server had a problem. Try again.";
}

/** A version 4 UUID; `crypto.randomUUID` exists on HTTPS and localhost only. */
function newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// --- Writing a message -------------------------------------------------------

let sending = false;
let tried = null; // the message of which it is not known whether it has arrived

function setUpMessageForm(form) {
    const text = form.elements.namedItem("text");
    const enterSends = !matchMedia("(pointer: coarse)").matches; // touch keyboards have no Shift+Enter

    form.querySelector("[data-with-script]").hidden = !enterSends;
    text.addEventListener("keydown", (event) => {
        const composing = event.isComposing || event.keyCode === 229;
        if (event.key === "Enter" && !event.shiftKey && enterSends && !composing) {
            event.preventDefault();
            if (text.value.trim()) {
                form.requestSubmit();
            }
        }
    });
    text.addEventListener("input", () => {
        fit(text);
        keepDraft();
        if (isLatest) {
            keepAtLatest(); // the box has grown
        }
    });
    form.addEventListener("change", keepDraft);
    takeUpDraft();
    // Later than the browser goes to the address's #run-…, and takes the focus away.
    addEventListener("load", () => {
        if (enterSends && document.activeElement === document.body) {
            text.focus({ preventScroll: true });
        }
    });
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        if (sending || !text.value.trim()) {
            return;
        }
        if (watched) {
            showError("An answer is still being written; wait for it or stop it.");
            return;
        }
        // The same once more is the same message, should the first try have arrived.
        if (tried && !isTried()) {
            renewId(form);
        }
        tried = { id: form.elements.namedItem("message_id").value, ...written() };
        keepDraft();
        setSending(true);
        showError("");
        try {
            if ("goesToAnswer" in form.dataset) {
                const { url } = await (await post(form, JSON_TYPE)).json();
                sessionStorage.removeItem(DRAFT);
                location.assign(url);
                return; // stays locked until the page is left
            }
            await ask(form);
            emptyBox();
        } catch (error) {
            showError(error.message);
        }
        setSending(false);
        text.focus();
        refresh(); // somebody may have been quicker
    });
}

/** What is in the box, and for whom. */
function written() {
    return {
        text: messageForm.elements.namedItem("text").value,
        agent: messageForm.elements.namedItem("agent")?.value ?? "",
    };
}

function isTried() {
    const { text, agent } = written();
    return tried?.text === text && tried.agent === agent;
}

/** What is being written outlives a reload, and a login in between. */
function keepDraft() {
    const draft = { ...written(), tried };
    if (draft.text) {
        sessionStorage.setItem(DRAFT, JSON.stringify(draft));
    } else {
        sessionStorage.removeItem(DRAFT);
    }
}

function takeUpDraft() {
    const text = messageForm.elements.namedItem("text");
    const draft = JSON.parse(sessionStorage.getItem(DRAFT));
    if (draft && !text.value) {
        text.value = draft.text;
        tried = draft.tried;
        if (tried) {
            messageForm.elements.namedItem("message_id").value = tried.id;
        }
        const offered = `:is(option, [name=agent])[value="${draft.agent}"]`;
        if (messageForm.querySelector(offered)) {
            messageForm.elements.namedItem("agent").value = draft.agent;
        }
    }
    fit(text);
}

/** Drop the drafts of messages that are on this page, and have so been stored. */
function dropStoredDrafts() {
    for (const key of draftsOf(OWN_DRAFTS)) {
        const draft = JSON.parse(sessionStorage.getItem(key));
        if (draft.tried && draft.tried.text === draft.text && turnOf(draft.tried.id)) {
            sessionStorage.removeItem(key);
        }
    }
    if (messageForm && tried && turnOf(tried.id)) {
        if (tried.text === written().text) {
            showError("");
            emptyBox();
        } else {
            tried = null; // what has been written since is another message
            renewId(messageForm);
            keepDraft();
        }
    }
}

function draftsOf(prefix) {
    return Object.keys(sessionStorage).filter((key) => key.startsWith(prefix));
}

/** Nobody finds here what somebody else has written. */
function dropDraftsOfOthers() {
    for (const key of draftsOf(DRAFTS)) {
        if (!key.startsWith(OWN_DRAFTS)) {
            sessionStorage.removeItem(key);
        }
    }
}

function emptyBox() {
    const text = messageForm.elements.namedItem("text");
    text.value = "";
    tried = null;
    fit(text);
    renewId(messageForm);
    keepDraft();
}

function renewId(form) {
    form.elements.namedItem("message_id").value = newId();
}

/** Let the box grow with the text, in browsers that do not do that themselves. */
function fit(text) {
    if (!CSS.supports("field-sizing", "content")) {
        text.style.height = "auto";
        text.style.height = `${text.scrollHeight}px`;
    }
}

function setSending(value) {
    sending = value;
    messageForm.querySelector("[data-send]").disabled = value;
}

function showError(message) {
    document.querySelector("[data-error]").textContent = message;
}

// --- Renaming ----------------------------------------------------------------

function setUpRename(details) {
    details.addEventListener("toggle", () => {
        if (details.open) {
            details.querySelector("[name=name]").select();
        }
    });
    details.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
            details.open = false;
            details.querySelector("summary").focus();
        }
    });
}

// --- The transcript ----------------------------------------------------------

function fragmentOf(html) {
    const template = document.createElement("template");
    template.innerHTML = html; // rendered and sanitised by our own server
    return template.content;
}

/** Show a turn at the end, or in the place of what the page has of it already. */
function showTurn(html, events) {
    transcript.querySelector(".empty")?.remove();
    const turn = fragmentOf(html).querySelector("[data-turn]");
    turnOf(turn.dataset.turn)?.remove();
    transcript.append(turn);
    show(turn, events);
    toLatest();
}

function turnOf(messageId) {
    return transcript?.querySelector(`[data-turn="${messageId}"]`);
}

/**
 * Finish what the server rendered: times in the person's zone, copy buttons, answers that
 * are being written (`events`, when they come already).
 */
function show(root, events) {
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
        root.querySelectorAll(".text pre").forEach(addCopyButton);
    }
    const answer = root.querySelector("[data-events]");
    if (answer && isLatest) {
        watch(answer, events);
    } else {
        events?.return();
    }
}

function addCopyButton(block) {
    const frame = fragmentOf(
        `<div class="code"><span></span> <button type="button">Copy</button></div>`,
    ).firstChild;
    const [language, button] = frame.children;
    language.textContent = block.firstChild?.className?.replace("language-", "") ?? "";
    button.addEventListener("click", async () => {
        try {
            await navigator.clipboard.writeText(block.textContent.replace(/\n$/, ""));
            button.textContent = "Copied";
        } catch {
            button.textContent = "Not allowed";
        }
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    block.replaceWith(frame);
    frame.append(block);
}

// --- Watching an answer ------------------------------------------------------

let watched = null; // the answer that is being written

async function watch(answer, events) {
    watched = answer;
    stopForm.action = answer.dataset.stop;
    setStoppable(true);
    let delay = RETRY_FIRST;
    let unreadable = 0;
    let end = null;
    while (end === null && watched === answer) {
        try {
            end = await follow(answer, events ?? await reconnect(answer), () => { delay = RETRY_FIRST; });
        } catch (error) {
            const mayHelp = error instanceof Unreadable && ++unreadable < UNREADABLE_MOST;
            if (error instanceof Refusal && !mayHelp) {
                end = { status: "refused", html: "" };
                showError(error.message);
            }
        }
        events = null;
        if (end === null && watched === answer) {
            sayWaiting(answer, "The connection broke; trying again.");
            await new Promise((resolve) => { setTimeout(resolve, delay); });
            delay = Math.min(delay * 2, RETRY_LONGEST);
        }
    }
    if (watched !== answer) {
        return; // another one has taken over
    }
    watched = null;
    setStoppable(false);
    finish(answer, end);
}

/** Ask for the events once more; whoever asks is sent everything so far first. */
async function reconnect(answer) {
    const response = await fetch(answer.dataset.events, {
        headers: { Accept: EVENTS_TYPE },
        cache: "no-store",
    });
    if (response.ok && hasType(response, EVENTS_TYPE)) {
        return eventsOf(response);
    }
    if (response.status >= 500) {
        throw new Error("The server has a problem.");
    }
    throw new Refusal(refusalOf(response));
}

/** Show the text as it comes; returns the end, or null when the connection broke. */
async function follow(answer, events, onText) {
    sayWaiting(answer, "The answer is being written.");
    for await (const event of events) {
        if (watched !== answer) {
            return null;
        }
        if (event.name === "text") {
            onText();
            update(answer.querySelector("[data-stream]"), fragmentOf(event.data.html));
        } else if (event.name === "end") {
            const goesOn = ["pending", "running"].includes(event.data.status);
            return goesOn ? null : event.data;
        }
    }
    return null;
}

/** Replace what has changed, so that what a person has selected above stays selected. */
function update(shown, fresh) {
    let same = 0;
    while (fresh.childNodes[same]?.isEqualNode(shown.childNodes[same] ?? null)) {
        same += 1;
    }
    Array.from(shown.childNodes).slice(same).forEach((node) => node.remove());
    shown.append(...Array.from(fresh.childNodes).slice(same));
}

function finish(answer, { status, html }) {
    const finished = fragmentOf(html).querySelector("[data-answer]");
    if (finished) {
        announcer.textContent = wordsOf(finished);
        answer.replaceWith(finished);
        show(finished);
        showError("");
    } else {
        answer.querySelector("[data-waiting]")?.remove();
        answer.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
        if (status === "deleted") {
            showError("This chat was deleted.");
            for (const element of messageForm?.elements ?? []) {
                element.disabled = true;
            }
        } else if (status !== "refused") {
            showError(NOT_SHOWN);
        }
    }
}

/** What a screen reader is told, once, when the answer is there. */
function wordsOf(answer) {
    const parts = answer.querySelectorAll(".theirs h2, .text, .stopped, .failure p");
    return Array.from(parts, (part) => part.textContent.trim()).join(". ");
}

function sayWaiting(answer, text) {
    answer.querySelector("[data-waiting-text]").textContent = text;
}

/** Offer Stop instead of Send, or the other way round. */
function setStoppable(value) {
    const stop = document.querySelector("button[form=stop-form]");
    const hadFocus = document.activeElement === stop || stop?.disabled; // it was pressed here
    stop?.toggleAttribute("hidden", !value);
    stop?.removeAttribute("disabled");
    messageForm?.querySelector("[data-send]").toggleAttribute("hidden", value);
    if (hadFocus && !value) {
        focusMessage();
    }
}

function focusMessage() {
    messageForm?.elements.namedItem("text").focus();
}

// --- Scrolling ---------------------------------------------------------------

let atLatest = true; // scrolling up pauses following the answer

function nearBottom() {
    return page.scrollHeight - page.clientHeight - page.scrollTop < NEAR_BOTTOM;
}

function toLatest() {
    atLatest = true;
    page.scrollTop = page.scrollHeight;
    jump.hidden = true;
}

function keepAtLatest() {
    if (atLatest) {
        toLatest();
    } else {
        jump.hidden = nearBottom();
    }
}

function setUpScrolling() {
    history.scrollRestoration = "manual";
    addEventListener("scroll", () => {
        atLatest = nearBottom();
        jump.hidden = atLatest;
    }, { passive: true });
    jump.addEventListener("click", () => {
        toLatest();
        focusMessage();
    });
    toLatest();
    // Whatever changes its height: an answer that grows, or a window that is turned.
    new ResizeObserver(keepAtLatest).observe(transcript);
}

/** Load older messages when the link to them comes into view. */
function watchOlder() {
    const link = transcript.querySelector("[data-older]");
    if (!link) {
        return;
    }
    const observer = new IntersectionObserver(async ([entry]) => {
        if (!entry.isIntersecting) {
            return;
        }
        observer.disconnect();
        try {
            const response = await fetch(`${link.href}&fragment=on`);
            if (!response.ok || response.redirected) {
                throw new Refusal(refusalOf(response));
            }
            const older = fragmentOf(await response.text());
            show(older);
            const fromBottom = page.scrollHeight - page.scrollTop;
            link.closest(".older").replaceWith(older);
            page.scrollTop = page.scrollHeight - fromBottom;
            watchOlder();
        } catch {
            link.textContent = "Show older messages (they could not be loaded)";
        }
    }, { rootMargin: "200px" });
    observer.observe(link);
}

// --- Coming back -------------------------------------------------------------

/** Another tab may have gone on with the chat meanwhile, or what was sent here has arrived. */
async function refresh() {
    if (!isLatest || sending || (watched && !agentChoice()?.children.length)) {
        return;
    }
    const response = await fetch(location.href, { cache: "no-store" }).catch(() => null);
    if (!response?.ok || response.redirected || sending) {
        return;
    }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of [AGENT, AGENT_CHOICE]) {
        const [shown, newer] = [document, fresh].map((page) => page.querySelector(part));
        if (shown && newer && !newer.isEqualNode(shown)) {
            shown.replaceWith(newer);
        }
    }
    const newer = fresh.querySelector("[data-transcript]");
    if (newer && !watched && stateOf(newer) !== stateOf(transcript)) {
        transcript.replaceChildren(...newer.childNodes);
        show(transcript);
        watchOlder();
    }
    dropStoredDrafts();
}

function agentChoice() {
    return document.querySelector(AGENT_CHOICE);
}

function stateOf(log) {
    const last = Array.from(log.querySelectorAll("[data-answer]")).at(-1);
    return last ? `${last.id} ${last.dataset.status}` : "";
}

// --- Start -------------------------------------------------------------------

if (messageForm) {
    setUpMessageForm(messageForm);
}
if (rename) {
    setUpRename(rename);
}
show(document);
dropDraftsOfOthers();
dropStoredDrafts();
document.querySelector("[data-log-out]").addEventListener("submit", () => {
    draftsOf(DRAFTS).forEach((key) => sessionStorage.removeItem(key));
});
if (transcript && isLatest) {
    setUpScrolling();
    watchOlder();
    document.addEventListener("visibilitychange", () => {
        if (document.visibilityState === "visible") {
            refresh();
        }
    });
    addEventListener("focus", refresh);
    stopForm.addEventListener("submit", async (event) => {
        event.preventDefault();
        event.submitter.disabled = true;
        try {
            await post(stopForm, JSON_TYPE); // the stream tells when it has ended
        } catch (error) {
            event.submitter.disabled = false;
            showError(error.message);
        }
    });
    transcript.addEventListener("submit", async (event) => {
        if (!event.target.matches("[data-retry]")) {
            return;
        }
        event.preventDefault();
        if (sending) {
            return;
        }
        sending = true;
        showError("");
        try {
            await ask(event.target);
            focusMessage();
        } catch (error) {
            showError(error.message);
        }
        sending = false;
        refresh();
    });
} else if (transcript) {
    watchOlder();
}
addEventListener("pageshow", (event) => {
    if (!event.persisted) {
        return;
    }
    // Back from another page: this one was frozen in the middle of what it was doing.
    if (messageForm && sending) {
        messageForm.reset();
        tried = null;
        renewId(messageForm);
        setSending(false);
    }
    refresh();
});
