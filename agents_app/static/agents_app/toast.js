// A message that disappears by itself, with an optional action button.

const SHOWN = 10_000; // milliseconds

let timer = 0;

/** With `isFocused`, for users of the keyboard, who would not reach the button in time. */
export function showToast(text, action = "", act = null, isFocused = false) {
    document.querySelector(".toast")?.remove();
    clearTimeout(timer);
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.setAttribute("role", "status");
    const line = document.createElement("p");
    line.textContent = text;
    toast.append(line);
    if (act) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = action;
        button.addEventListener("click", () => {
            toast.remove();
            act().catch((error) => showToast(error.message));
        });
        toast.append(button);
    }
    document.body.append(toast);
    const leave = () => { timer = setTimeout(() => toast.remove(), SHOWN); };
    for (const name of ["pointerenter", "focusin"]) {
        toast.addEventListener(name, () => clearTimeout(timer));
    }
    for (const name of ["pointerleave", "focusout"]) {
        toast.addEventListener(name, leave);
    }
    leave();
    if (isFocused) {
        toast.querySelector("button").focus();
    }
}
