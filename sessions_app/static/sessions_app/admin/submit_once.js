// The removal's confirmation is submitted once.

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
