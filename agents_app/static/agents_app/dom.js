// Shared helpers for the page: elements, errors, focus, HTML fragments.

export const hasKeyboard = !matchMedia("(pointer: coarse)").matches; // not a touch keyboard

export function transcript() {
    return document.querySelector("[data-transcript]");
}

export function messageForm() {
    return document.querySelector("[data-message-form]");
}

/** The button that scrolls to the latest message; not on pages of older ones. */
export function jumpButton() {
    return document.querySelector("[data-jump]");
}

export function focusMessage() {
    messageForm()?.elements.namedItem("text").focus();
}

export function showError(message) {
    document.querySelector("[data-error]").textContent = message;
}

/** Parse HTML rendered and sanitised by our own server. */
export function fragmentOf(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
}
