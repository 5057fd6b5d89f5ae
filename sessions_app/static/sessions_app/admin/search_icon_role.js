// The search icon of Django's choice lists has a label, which is only allowed with a role.
// Django adds the icon when the page has loaded.

window.addEventListener("load", () => setTimeout(() => {
    for (const icon of document.querySelectorAll(".search-label-icon[aria-label]")) {
        icon.setAttribute("role", "img");
    }
}));
