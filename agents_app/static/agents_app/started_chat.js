// The page of a new chat, made from the template on the start page.

import { fragmentOf, messageForm } from "./dom.js";

/** A new chat's page content, from its event's data. */
export function pageOf({ html, url, name }) {
    const frame = document.querySelector("[data-chat-frame]");
    const page = document.importNode(frame.content, true);
    rewriteUrls(page, frame.dataset.chatFrame, url);
    page.querySelector("h1").textContent = name;
    page.querySelector("[data-rename]").dataset.rename = name;
    page.querySelector("[data-transcript]").replaceChildren(fragmentOf(html));
    offerAgents(page);
    return page;
}

/** Make URLs of the frame's chat point to the one at `url`. */
function rewriteUrls(page, frameUrl, url) {
    for (const name of ["action", "href"]) {
        for (const element of page.querySelectorAll(`[${name}^="${frameUrl}"]`)) {
            const rest = element.getAttribute(name).slice(frameUrl.length);
            element.setAttribute(name, url + rest);
        }
    }
}

/**
 * Offer the agents of the new-chat form. If a different one than the frame's was chosen,
 * refresh() updates the rest.
 */
function offerAgents(page) {
    const select = page.querySelector("select[name=agent]");
    if (!select) {
        return; // there is only one agent
    }
    const offered = messageForm().elements.namedItem("agent");
    const [chosen] = offered.selectedOptions;
    const others = Array.from(offered.options).filter((option) => !option.defaultSelected);
    select.append(...others);
    select.value = chosen.defaultSelected ? "" : chosen.value;
    page.querySelector("[data-agent]").textContent = `with ${chosen.dataset.name}`;
}
