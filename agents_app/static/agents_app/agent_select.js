// The message form's drop-down list of agents.

import { messageForm } from "./dom.js";

/** The drop-down list, if there is a choice. */
export function select() {
    return messageForm()?.querySelector("select[name=agent]");
}

/** The picture or initial of an option's agent. */
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
