// Refreshing the chat: another tab may have continued it, or a lost message arrived.

import { chosenAgent, ownAgentName, replaceChoice } from "./agent_chip.js";
import { getHtml } from "./api.js";
import { jumpButton, messageForm, transcript } from "./dom.js";
import { deleteStoredDrafts } from "./drafts.js";
import { isAnswering, watchAnswer } from "./live_answer.js";
import { isSending } from "./submit_turn.js";
import { enhance, setUpOlderMessages } from "./transcript.js";

const AGENT = "[data-agent]";
const OTHER_AGENTS = "[data-other-agents]"; // the menu beside Regenerate

/** Fetch the page and show what is new, unless this one is busy. */
export async function refresh() {
    if (!jumpButton() || isSending() || (isAnswering() && !agentHasChanged())) {
        return;
    }
    // The latest messages, even if the URL names an earlier one.
    const html = await getHtml(location.pathname).catch(() => null);
    if (html === null || isSending()) {
        return;
    }
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const agent = fresh.querySelector(AGENT);
    if (agent) {
        document.querySelector(AGENT)?.replaceWith(agent);
    }
    const choice = fresh.querySelector("[data-agent-choice]");
    if (choice && messageForm()) {
        replaceChoice(choice);
    }
    const others = fresh.querySelector(OTHER_AGENTS);
    if (others && !document.querySelector(`${OTHER_AGENTS}:focus-within`)) {
        document.querySelector(OTHER_AGENTS)?.replaceWith(others);
    }
    const newer = fresh.querySelector("[data-transcript]");
    if (newer && !isAnswering() && !isEditing() && latestState(newer) !== latestState(transcript())) {
        transcript().replaceChildren(...newer.childNodes);
        enhance(transcript());
        watchAnswer(transcript());
        setUpOlderMessages();
    }
    deleteStoredDrafts();
}

/** Whether an earlier message is being edited here. */
function isEditing() {
    return Boolean(transcript().querySelector("[data-edit-form]"));
}

/** Whether the answer's agent differs from the one shown as the chat's. */
function agentHasChanged() {
    const writing = document.querySelector(".streaming .agent-name")?.textContent;
    return Boolean(chosenAgent() || (writing && ownAgentName() && writing !== ownAgentName()));
}

function latestState(element) {
    const turn = Array.from(element.querySelectorAll("[data-turn]")).at(-1);
    const answer = turn?.querySelector("[data-answer]");
    return answer ? `${turn.dataset.turn} ${answer.id} ${answer.dataset.status}` : "";
}
