// Requests to the server: posting forms, reading server-sent events, and error texts.

export const JSON_TYPE = "application/json";
export const EVENTS_TYPE = "text/event-stream";
export const NOT_SHOWN = "The answer could not be shown. Reload the page.";
const WITH_HTML = ["chat", "turn", "text", "reasoning", "end"]; // events
const LONGEST_SILENCE = 20_000; // milliseconds; an open stream sends something every 5 s
const UNREACHABLE = "The server cannot be reached. Try again.";

/** An error to show to the user; not retried automatically. */
export class Refusal extends Error {
    isAnswering = false; // whether an answer in progress is the reason
}

/** An event in an unknown format; reconnecting may yield a known one. */
export class InvalidEvent extends Refusal {}

/** Post a form as if by `submitter`; returns a response of the given type. Throws Refusal. */
export async function post(form, type, submitter = null) {
    const fields = new URLSearchParams(new FormData(form, submitter)); // preserves line breaks
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
        const { error, login, is_answering: isAnswering } = await response.json();
        if (login) {
            logIn(form, login);
        }
        throw Object.assign(new Refusal(error), { isAnswering });
    }
    throw new Refusal(refusalText(response));
}

/** Go to the login, then back here; a message stays as a draft. */
function logIn(form, url) {
    if (form.matches("[data-edit-form]")) {
        form.submit(); // no draft: the login form keeps its text
        return;
    }
    const expired = form.elements.namedItem("text") ? "message" : "on";
    location.assign(`${url}?expired=${expired}&next=${encodeURIComponent(location.pathname)}`);
}

/** Post a form as if by `submitter`; returns the first event and an iterator of the rest. */
export async function postForEvents(form, submitter) {
    const events = readEvents(await post(form, EVENTS_TYPE, submitter));
    const { value: first } = await events.next().catch((error) => {
        throw error instanceof Refusal ? error : new Refusal(UNREACHABLE);
    });
    if (!first) {
        throw new Refusal(UNREACHABLE);
    }
    return { first, events };
}

/** Get a run's events, beginning with its text so far. Throws Refusal or Error. */
export async function getEvents(url) {
    const response = await fetch(url, { headers: { Accept: EVENTS_TYPE }, cache: "no-store" });
    if (response.ok && hasType(response, EVENTS_TYPE)) {
        return readEvents(response);
    }
    if (response.status >= 500) {
        throw new Error("The server has a problem.");
    }
    throw new Refusal(refusalText(response));
}

/** Get HTML. Throws Refusal. If the login has expired, go to `page`, if given, via the login. */
export async function getHtml(url, page = null) {
    const response = await fetch(url, { cache: "no-store" })
        .catch(() => { throw new Refusal(UNREACHABLE); });
    if (response.redirected && page) {
        location.assign(page);
    }
    if (!response.ok || response.redirected) {
        throw new Refusal(refusalText(response));
    }
    return response.text();
}

/** The events of a response, until it ends, breaks or goes silent. */
async function* readEvents(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const giveUp = () => reader.cancel().catch(() => {});
    let buffer = "";
    try {
        for (;;) {
            const timer = setTimeout(giveUp, LONGEST_SILENCE); // e.g. after the computer slept
            const { done, value } = await reader.read();
            clearTimeout(timer);
            if (done) {
                return;
            }
            const frames = (buffer + value).split("\n\n");
            buffer = frames.pop();
            for (const event of frames.map(parseFrame).filter(Boolean)) {
                if (WITH_HTML.includes(event.name) && typeof event.data?.html !== "string") {
                    throw new InvalidEvent(NOT_SHOWN);
                }
                yield event;
            }
        }
    } finally {
        giveUp();
    }
}

/** A frame's event; null for a keep-alive comment. */
function parseFrame(frame) {
    const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(frame) ?? [];
    return name ? { name, data: JSON.parse(data) } : null;
}

function hasType(response, type) {
    return (response.headers.get("Content-Type") ?? "").startsWith(type);
}

function refusalText(response) {
    if (response.redirected || [401, 403].includes(response.status)) {
        return "You are no longer logged in. Reload the page.";
    }
    if (response.status === 404) {
        return "This chat no longer exists.";
    }
    if (response.status === 400 || response.status === 413) {
        return "The server did not accept this message; it may be too long.";
    }
    return "The server had a problem. Try again.";
}
