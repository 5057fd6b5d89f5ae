// The removal's pages: the confirmation is sent once, the progress page goes on by itself.

const PAUSE = 300; // milliseconds, in which the page is seen and "Stop here" can be pressed

const confirmation = document.querySelector("form[data-sent-once]");
if (confirmation) {
    let sent = false;
    confirmation.addEventListener("submit", (event) => {
        if (sent) {
            event.preventDefault();
        }
        sent = true;
    });
    // Back from the outcome, the page may be the very same one.
    window.addEventListener("pageshow", () => { sent = false; });
}

const progress = document.querySelector("form[data-goes-on]");
if (progress) {
    const goOn = progress.elements.namedItem("confirm");
    goOn.hidden = true;
    const timer = setTimeout(() => progress.requestSubmit(goOn), PAUSE);
    progress.addEventListener("submit", () => clearTimeout(timer));
    document.querySelector("[data-with-script]").hidden = false;
    document.querySelector("[data-without-script]").hidden = true;
}
