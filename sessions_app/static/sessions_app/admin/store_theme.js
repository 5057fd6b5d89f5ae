// The header's switch stores the theme with the user, so that all pages share it.

document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-theme-switch]");
    if (!form) {
        return;
    }
    event.preventDefault();
    // Django's script has already changed it.
    const chosen = document.documentElement.dataset.theme;
    const body = new FormData(form);
    body.set("theme", chosen === "auto" ? "" : chosen);
    fetch(form.getAttribute("action"), { method: "POST", body, keepalive: true });
});
