// The parts of the page that several modules use: elements, errors, focus, HTML fragments.

export const hasKeyboard = !matchMedia("(pointer: coarse)").matches; // touch keyboards are none

export function transcript() {
    return document.querySelector("[data-transcript]");
}

export function messageForm() {
    return document.querySelector("[data-message-form]");
}

/** The control that scrolls to the latest message; a page of older messages has none. */
export function jumpButton() {
    return document.querySelector("[data-jump]");
}

export function focusMessage() {
    messageForm()?.elements.namedItem("text").focus();
}

export function showError(message) {
    document.querySelector("[data-error]").textContent = message;
}

/** Parse HTML that our own server has rendered and sanitised. */
export function fragmentOf(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
}
