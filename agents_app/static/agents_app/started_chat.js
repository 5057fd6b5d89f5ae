// The page of a new chat, made from the frame of one that the page with its form has.

import { fragmentOf, messageForm } from "./dom.js";

/** The content of a new chat's page, of the data of its event. */
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

/** Have what leads to the frame's chat lead to the one at `url`. */
function rewriteUrls(page, frameUrl, url) {
    for (const name of ["action", "href"]) {
        for (const element of page.querySelectorAll(`[${name}^="${frameUrl}"]`)) {
            const rest = element.getAttribute(name).slice(frameUrl.length);
            element.setAttribute(name, url + rest);
        }
    }
}

/**
 * Offer the agents of the form for a new chat. If another one than the frame's was chosen there,
 * refresh() gets what else differs.
 */
function offerAgents(page) {
    const select = page.querySelector("select[name=agent]");
    if (!select) {
        return; // there is one agent only
    }
    const offered = messageForm().elements.namedItem("agent");
    const [chosen] = offered.selectedOptions;
    const others = Array.from(offered.options).filter((option) => !option.defaultSelected);
    select.append(...others);
    select.value = chosen.defaultSelected ? "" : chosen.value;
    page.querySelector("[data-agent]").textContent = `with ${chosen.dataset.name}`;
}
