// The Copy buttons of code blocks, rendered by the server, even while the code is streaming.

const SHOWN = 2000; // milliseconds that a button shows the result

/** Handle all present and future buttons. They stay hidden if copying is unavailable. */
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
