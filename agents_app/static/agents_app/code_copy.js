// The Copy buttons of code blocks: the server renders them, also while the code is being written.

const SHOWN = 2000; // milliseconds, for which a button says what became of it

/** Wire the buttons of the whole page, now and later. They stay invisible where nothing can be copied. */
export function setUpCodeCopy() {
    if (!navigator.clipboard) {
        return;
    }
    document.documentElement.classList.add("can-copy");
    document.addEventListener("click", (event) => {
        const button = event.target.closest(".code .copy");
        if (button) {
            copy(button);
        }
    });
}

async function copy(button) {
    const code = button.closest(".code").querySelector("pre").textContent;
    let result = "copied";
    try {
        await navigator.clipboard.writeText(code.replace(/\n$/, ""));
    } catch {
        result = "failed";
    }
    button.dataset.result = result;
    announce(result === "copied" ? "Copied" : "Copying is not allowed");
    setTimeout(() => { delete button.dataset.result; }, SHOWN);
}

function announce(text) {
    const announcer = document.querySelector("[data-announcer]");
    if (announcer) {
        announcer.textContent = text;
    }
}
