// The Copy button of a new API key.

const SHOWN = 2000; // milliseconds that the button shows the result

const button = document.querySelector("[data-copy-key]");
const field = button.parentElement.querySelector("input");

async function copy() {
    try {
        await navigator.clipboard.writeText(field.value);
        button.textContent = "Copied";
    } catch {
        field.select(); // for Ctrl+C
        button.textContent = "Not copied";
    }
    setTimeout(() => { button.textContent = "Copy"; }, SHOWN);
}

button.hidden = !navigator.clipboard;
button.addEventListener("click", copy);
