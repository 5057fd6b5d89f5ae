// The choice of an agent: a chip in the message form, which opens a list (agent_picker.js).
// The form's drop-down list stays what is sent; where there is none, nothing can be chosen.

import { face, select } from "./agent_select.js";
import { hasKeyboard, messageForm } from "./dom.js";

let chip = null;

export function setUpAgentChip() {
    const template = messageForm().querySelector("[data-agent-picker]");
    if (!("popover" in HTMLElement.prototype)) {
        return; // the drop-down list does
    }
    const [button, picker] = template.content.cloneNode(true).children;
    chip = button;
    choice().after(chip);
    messageForm().after(picker);
    messageForm().addEventListener("change", showChosenAgent);
    showChosenAgent();
    // On touch screens the search would bring up the keyboard.
    picker.querySelector("[role=combobox]").autofocus = hasKeyboard;
    // Loaded when it is about to be opened, which is rare.
    const load = () => import("./agent_picker.js").catch(() => null);
    button.addEventListener("pointerenter", load, { once: true });
    picker.addEventListener("beforetoggle", async () => {
        const script = await load();
        if (script) {
            script.setUpAgentPicker(button, picker);
        } else { // the drop-down list does
            button.remove();
            picker.remove();
            chip = null;
            choice().hidden = false;
            select().focus();
        }
    }, { once: true });
}

/** The key of the agent that is to answer, if it is not the chat's own. */
export function chosenAgent() {
    return select()?.value ?? "";
}

/** The name of the chat's own agent, as the page knows it. */
export function ownAgentName() {
    return select()?.querySelector('option[value=""]')?.dataset.name;
}

/** Show on the chip which agent is chosen. */
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

/** Offer what the server now offers, and keep what was chosen if that is among it. */
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

/** Whether an agent is to be chosen because the chat has none. */
function isForSubstitute(element) {
    return element.querySelector("[name=is_substitute]") !== null;
}

function choice() {
    return messageForm().querySelector("[data-agent-choice]");
}
