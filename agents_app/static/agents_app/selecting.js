// Ticking all chats of a list at once.

function setUpSelecting() {
    const all = document.querySelector("[data-select-all]");
    if (!all) {
        return;
    }
    all.hidden = false;
    all.addEventListener("change", ({ target }) => {
        for (const box of document.querySelectorAll("[name=chats]")) {
            box.checked = target.checked;
        }
    });
}

setUpSelecting();
