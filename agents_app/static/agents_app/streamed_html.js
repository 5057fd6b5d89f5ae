// HTML that changes while shown: growing text, then the finished answer. Unchanged nodes are left
// alone, so that selections, focus, scroll positions and clicks survive.

import { fragmentOf } from "./dom.js";

const TEXTS = ":scope > article > .text";

/** Growing HTML: finished nodes stay, the rest is replaced. */
export class StreamedHtml {
    /** Replaces only what differs in the element's content. */
    constructor(element) {
        this.element = element;
        this.finished = 0; // child nodes that no longer change
        this.open = ""; // the HTML after them
    }

    /** Apply a `text` event's data (see Delta in agents_app/web/rendering/incremental_markdown.py). */
    apply({ html, keep = 0, finish = 0, reset = false }) {
        if (reset) {
            this.finished = 0;
            this.open = "";
        }
        this.open = this.open.slice(0, keep) + html;
        const finished = fragmentOf(this.open.slice(0, finish));
        this.open = this.open.slice(finish);
        const finishedNow = finished.childNodes.length;
        finished.append(fragmentOf(this.open));
        morphChildren(this.element, Array.from(finished.childNodes), this.finished);
        this.finished += finishedNow;
    }
}

/** Show the model's reasoning, before the text. */
export function showReasoning(text, html) {
    const fresh = fragmentOf(html).firstChild;
    const shown = text.previousSibling;
    if (shown.className === fresh.className) {
        morphChildren(shown, Array.from(fresh.childNodes));
    } else {
        text.before(fresh);
    }
}

/** Turn a streamed answer into the finished one, and return it. */
export function finishAnswer(answer, finished) {
    const streamed = answer.querySelector("[data-stream]");
    const shown = finished.querySelector("[data-shown]"); // its text is not sent again
    if (shown) {
        shown.removeAttribute("data-shown");
        shown.prepend(streamed.parentNode.firstChild.cloneNode(true));
        shown.append(streamed.cloneNode(true));
    }
    // A continued answer has the earlier texts first.
    const texts = Array.from(finished.querySelectorAll(TEXTS))
        .slice(answer.querySelectorAll(TEXTS).length - 1);
    if (!texts.length) {
        answer.replaceWith(finished);
        return finished;
    }
    const wanted = texts.map((text) => Array.from(text.childNodes));
    morphAround(answer, finished, streamed, texts.pop());
    streamed.removeAttribute("data-stream");
    // Texts separated by tool calls were streamed as one.
    const { anchorNode, anchorOffset, focusNode, focusOffset } = getSelection();
    texts.forEach((text, index) => {
        text.replaceChildren(...Array.from(streamed.childNodes).slice(0, wanted[index].length));
    });
    if (texts.length && anchorNode?.data && focusNode?.data) {
        getSelection().setBaseAndExtent(anchorNode, anchorOffset, focusNode, focusOffset);
    }
    [...texts, streamed].forEach((text, index) => morphChildren(text, wanted[index]));
    return answer;
}

/** Make an element's children `wanted`, except for the first `kept`. */
function morphChildren(element, wanted, kept = 0) {
    morphNodes(element, Array.from(element.childNodes).slice(kept), wanted);
}

/** Make an element like `wanted`, with its descendant `kept` in place of `place`. */
function morphAround(element, wanted, kept, place) {
    setAttributes(element, wanted);
    if (element === kept) {
        return;
    }
    const shown = Array.from(element.childNodes);
    const nodes = Array.from(wanted.childNodes);
    const child = shown.findIndex((node) => node.contains(kept));
    const at = nodes.findIndex((node) => node.contains(place));
    morphNodes(element, shown.slice(0, child), nodes.slice(0, at), shown[child]);
    morphNodes(element, shown.slice(child + 1), nodes.slice(at + 1));
    morphAround(shown[child], nodes[at], kept, place);
}

/** Turn the nodes `shown`, which end before `next`, into `wanted`. */
function morphNodes(element, shown, wanted, next = null) {
    shown.slice(wanted.length).forEach((node) => node.remove());
    wanted.forEach((node, index) => {
        if (index < shown.length) {
            morph(shown[index], node);
        } else {
            element.insertBefore(node, next);
        }
    });
}

function morph(node, wanted) {
    if (node.isEqualNode(wanted)) {
        return;
    }
    if (node.nodeName !== wanted.nodeName) {
        node.replaceWith(wanted);
    } else if (node.nodeType === Node.TEXT_NODE) {
        const same = commonLength(node.data, wanted.data);
        node.replaceData(same, node.length - same, wanted.data.slice(same));
    } else {
        setAttributes(node, wanted);
        morphChildren(node, Array.from(wanted.childNodes));
    }
}

function setAttributes(element, wanted) {
    for (const name of element.getAttributeNames()) {
        if (!wanted.hasAttribute(name) && name !== "open") { // details opened by the user
            element.removeAttribute(name);
        }
    }
    for (const { name, value } of wanted.attributes) {
        if (element.getAttribute(name) !== value) {
            element.setAttribute(name, value);
        }
    }
}

function commonLength(one, other) {
    let length = 0;
    while (length < one.length && one[length] === other[length]) {
        length += 1;
    }
    return length;
}
