// HTML that grows while it is shown: what has finished stays, the rest is replaced.

import { fragmentOf } from "./dom.js";
import { morphChildren } from "./morphing.js";

export class StreamedHtml {
    /** Replaces what the element holds, but for what is the same already. */
    constructor(element) {
        this.element = element;
        this.finished = 0; // child nodes that do not change any more
        this.open = ""; // the HTML after them
    }

    /** Apply the data of a `text` event (see Delta in agents_app/web/rendering/incremental_markdown.py). */
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
