// The agents that the message form offers, in its drop-down list.

import { messageForm } from "./dom.js";

/** The drop-down list; none where nothing can be chosen. */
export function select() {
    return messageForm()?.querySelector("select[name=agent]");
}

/** The picture or the initial of an option's agent. */
export function face({ dataset }) {
    const image = document.createElement(dataset.picture ? "img" : "span");
    image.className = `avatar hue-${dataset.hue ?? 0}`;
    if (dataset.picture) {
        image.src = dataset.picture;
        image.alt = "";
        image.loading = "lazy";
    } else {
        image.dataset.initial = dataset.initial;
        image.ariaHidden = "true";
    }
    return image;
}
