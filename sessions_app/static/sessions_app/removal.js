// The removal's pages: the confirmation is submitted once; the progress page continues by itself.

const PAUSE = 300; // milliseconds, to see the page and to press "Stop here"

const confirmation = document.querySelector("form[data-submit-once]");
if (confirmation) {
    let submitted = false;
    confirmation.addEventListener("submit", (event) => {
        if (submitted) {
            event.preventDefault();
        }
        submitted = true;
    });
    // After going back, the browser may show this very page again from its cache.
    window.addEventListener("pageshow", () => { submitted = false; });
}

const progress = document.querySelector("form[data-continues]");
if (progress) {
    const continueButton = progress.elements.namedItem("confirm");
    continueButton.hidden = true;
    const timer = setTimeout(() => progress.requestSubmit(continueButton), PAUSE);
    progress.addEventListener("submit", () => clearTimeout(timer));
    document.querySelector("[data-with-script]").hidden = false;
    document.querySelector("[data-without-script]").hidden = true;
}
