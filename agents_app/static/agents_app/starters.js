// Starter prompts below the new-chat form: they fill it, and change with its agent.

import { chosenAgent } from "./agent_chip.js";
import { getHtml } from "./api.js";
import { fragmentOf, messageForm } from "./dom.js";

function setUpStarters() {
    const starters = document.querySelector("[data-starters]");
    if (!starters) {
        return;
    }
    starters.addEventListener("click", (event) => {
        const starter = event.target.closest("[data-starter]");
        if (starter && !(event.metaKey || event.ctrlKey || event.shiftKey)) {
            event.preventDefault();
            fill(starter.textContent);
        }
    });
    messageForm().addEventListener("change", ({ target }) => {
        if (target.name === "agent") {
            showStarters(starters);
        }
    });
}

function fill(prompt) {
    const text = messageForm().elements.namedItem("text");
    text.value = prompt;
    text.dispatchEvent(new Event("input", { bubbles: true }));
    text.focus();
    text.setSelectionRange(prompt.length, prompt.length);
}

async function showStarters(starters) {
    const agent = chosenAgent();
    const url = starters.dataset.url.replace("/0/", `/${agent}/`);
    const html = await getHtml(url).catch(() => ""); // a chat can start without them
    if (agent === chosenAgent()) {
        starters.replaceChildren(fragmentOf(html));
    }
}

setUpStarters();
