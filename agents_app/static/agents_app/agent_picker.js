// The searchable list of agents that the chip opens.

import { face, select } from "./agent_select.js";
import { hasKeyboard, messageForm } from "./dom.js";

const MANY = 7; // agents; shorter lists hide the search
const GAP = 8; // pixels from the list to the chip and the window's edges

let chip = null;
let picker = null;
let active = -1; // index of the option that Enter chooses

/** Set up the list, which may already be open. */
export function setUpAgentPicker(itsChip, element) {
    [chip, picker] = [itsChip, element];
    picker.addEventListener("beforetoggle", ({ newState }) => {
        if (newState === "open") {
            filterInput().value = "";
            fill();
        }
    });
    picker.addEventListener("toggle", ({ newState }) => {
        if (newState === "open") {
            show();
        }
    });
    picker.addEventListener("keydown", onKey);
    picker.addEventListener("focusout", ({ relatedTarget }) => {
        if (relatedTarget && !picker.contains(relatedTarget)) {
            picker.hidePopover();
        }
    });
    picker.addEventListener("click", ({ target }) => {
        choose(target.closest("[role=option]"));
    });
    filterInput().addEventListener("input", showOptions);
    addEventListener("resize", place);
    if (picker.matches(":popover-open")) { // the user may already be searching
        fill();
        show();
    }
}

function fill() {
    picker.classList.remove("by-keys");
    showOptions();
    place();
}

function show() {
    place(); // now that its width is known
    showActive();
    if (!hasKeyboard) {
        picker.focus();
    }
}

function onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) {
        event.preventDefault();
        picker.classList.add("by-keys");
        move(step);
    } else if (event.key === "Enter" && !event.isComposing) {
        event.preventDefault();
        choose(options()[active]);
    } else if (event.key === "Escape") {
        event.stopPropagation(); // closes only the list
    }
}

/** Move the active option; single steps wrap around. */
function move(step) {
    const last = options().length - 1;
    const next = active + step;
    if (Math.abs(step) === 1) {
        active = next > last ? 0 : next < 0 ? last : next;
    } else {
        active = Math.max(0, Math.min(last, next));
    }
    showActive();
}

function choose(option) {
    if (!option) {
        return;
    }
    select().value = option.dataset.value;
    select().dispatchEvent(new Event("change", { bubbles: true }));
    picker.hidePopover();
    messageForm().elements.namedItem("text").focus();
}

/** List the agents whose name or description has every search word. */
function showOptions() {
    const words = comparable(filterInput().value).split(/\s+/).filter(Boolean);
    const matches = Array.from(select().options).filter(({ dataset }) => {
        const text = comparable(`${dataset.name} ${dataset.about}`);
        return words.every((word) => text.includes(word));
    });
    const list = picker.querySelector("[role=listbox]");
    list.replaceChildren(...matches.map(listItem));
    list.hidden = matches.length === 0;
    picker.classList.toggle("is-short", select().options.length < MANY);
    picker.querySelector("[role=status]").textContent =
        matches.length ? "" : "No agents found.";
    active = words.length ? 0 : matches.findIndex((option) => option.selected);
    active = Math.min(Math.max(active, 0), matches.length - 1);
    showActive();
}

function listItem(option, index) {
    const item = document.createElement("li");
    const texts = [["agent-name", option.dataset.name], ["about", option.dataset.about]];
    item.id = `agent-option-${index}`;
    item.role = "option";
    item.ariaSelected = String(option.selected);
    item.dataset.value = option.value;
    item.append(face(option), ...texts.filter(([, text]) => text).map(([name, text]) => {
        const line = document.createElement("span");
        line.className = name;
        line.dir = "auto";
        line.textContent = text;
        return line;
    }));
    return item;
}

function showActive() {
    options().forEach((option, index) => option.classList.toggle("is-active", index === active));
    options()[active]?.scrollIntoView({ block: "nearest" });
    filterInput().setAttribute("aria-activedescendant", options()[active]?.id ?? "");
}

/** Place the list above or below the chip, where there is more room. */
function place() {
    const { left, top, bottom } = chip.getBoundingClientRect();
    const opensUp = top > innerHeight - bottom;
    const x = Math.max(GAP, Math.min(left, innerWidth - picker.offsetWidth - GAP));
    const room = (opensUp ? top : innerHeight - bottom) - 2 * GAP;
    picker.style.setProperty("--x", `${x}px`);
    picker.style.setProperty("--top", opensUp ? "auto" : `${bottom + GAP}px`);
    picker.style.setProperty("--bottom", opensUp ? `${innerHeight - top + GAP}px` : "auto");
    picker.style.setProperty("--room", `${room}px`);
}

/** Text without case and accents, for searching. */
function comparable(text) {
    return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

function filterInput() {
    return picker.querySelector("[role=combobox]");
}

function options() {
    return Array.from(picker.querySelectorAll("[role=option]"));
}
