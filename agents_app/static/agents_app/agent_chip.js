// The agent chip in the message form, which opens the list of agents (agent_picker.js).
// The form still submits its drop-down list; without one, there is nothing to choose.

import { face, select } from "./agent_select.js";
import { hasKeyboard, messageForm } from "./dom.js";

let chip = null;

export function setUpAgentChip() {
    const template = messageForm().querySelector("[data-agent-picker]");
    if (!("popover" in HTMLElement.prototype)) {
        return; // keep the drop-down list
    }
    const [button, picker] = template.content.cloneNode(true).children;
    chip = button;
    choice().after(chip);
    messageForm().after(picker);
    messageForm().addEventListener("change", showChosenAgent);
    showChosenAgent();
    // On touch screens, this would bring up the keyboard.
    picker.querySelector("[role=combobox]").autofocus = hasKeyboard;
    // Loaded on demand: the list is rarely opened.
    const load = () => import("./agent_picker.js").catch(() => null);
    button.addEventListener("pointerenter", load, { once: true });
    picker.addEventListener("beforetoggle", async () => {
        const script = await load();
        if (script) {
            script.setUpAgentPicker(button, picker);
        } else { // keep the drop-down list
            button.remove();
            picker.remove();
            chip = null;
            choice().hidden = false;
            select().focus();
        }
    }, { once: true });
}

/** The key of the chosen agent, or "" for the chat's own. */
export function chosenAgent() {
    return select()?.value ?? "";
}

/** The name of the chat's own agent, as shown on the page. */
export function ownAgentName() {
    return select()?.querySelector('option[value=""]')?.dataset.name;
}

/** Show the chosen agent on the chip. */
function showChosenAgent() {
    if (!chip) {
        return;
    }
    const chosen = select()?.selectedOptions[0];
    choice().hidden = Boolean(chosen);
    chip.hidden = !chosen;
    if (chosen) {
        chip.querySelector("[data-face]").replaceChildren(face(chosen));
        chip.querySelector("[data-name]").textContent = chosen.dataset.name;
    }
}

/** Replace the choice with a newer one; keep the selection if still offered. */
export function replaceChoice(newer) {
    const current = choice();
    newer.hidden = current.hidden;
    if (newer.isEqualNode(current)) {
        return;
    }
    const chosen = chosenAgent();
    current.replaceWith(newer);
    const isSameQuestion = isForSubstitute(newer) === isForSubstitute(current);
    if (isSameQuestion && newer.querySelector(`option[value="${chosen}"]`)) {
        select().value = chosen;
    }
    showChosenAgent();
}

/** Whether it asks for an agent because the chat has none. */
function isForSubstitute(element) {
    return element.querySelector("[name=is_substitute]") !== null;
}

function choice() {
    return messageForm().querySelector("[data-agent-choice]");
}
