// The removal is confirmed only once.

const confirmation = document.querySelector("form[data-submit-once]");
if (confirmation) {
    let submitted = false;
    confirmation.addEventListener("submit", (event) => {
        if (submitted) {
            event.preventDefault();
        }
        submitted = true;
    });
    // The page may be restored from the back/forward cache.
    window.addEventListener("pageshow", () => { submitted = false; });
}
