// The icon that Django's lists of choices have before their search field carries a label, which
// only something with a role may have. Django adds it when the page has loaded.

window.addEventListener("load", () => setTimeout(() => {
    for (const icon of document.querySelectorAll(".search-label-icon[aria-label]")) {
        icon.setAttribute("role", "img");
    }
}));
