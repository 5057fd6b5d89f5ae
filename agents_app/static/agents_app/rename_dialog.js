// The dialog that asks for a chat's new name.

import { JSON_TYPE, post } from "./api.js";

/** Ask for a name, post it to `url`, then call `done` with both. */
export function askForName(url, name, done) {
    const dialog = document.querySelector("[data-rename-dialog]");
    const form = dialog.querySelector("form");
    const field = form.elements.namedItem("name");
    const error = dialog.querySelector(".error");
    form.action = url;
    field.value = name;
    error.textContent = "";
    form.onsubmit = async (event) => {
        if (event.submitter?.value === "cancel") {
            return; // closes the dialog
        }
        event.preventDefault();
        try {
            const response = await post(form, JSON_TYPE);
            dialog.close();
            done(url, (await response.json()).name);
        } catch (refusal) {
            error.textContent = refusal.message;
        }
    };
    dialog.showModal();
    field.select();
}
