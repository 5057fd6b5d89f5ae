// Ticking all chats of a list at once.

function setUpSelecting() {
    const label = document.querySelector("[data-select-all]");
    if (!label) {
        return;
    }
    const all = label.querySelector("input");
    const boxes = Array.from(document.querySelectorAll("[name=chats]"));
    const show = () => {
        const ticked = boxes.filter((box) => box.checked).length;
        all.checked = ticked === boxes.length;
        all.indeterminate = ticked > 0 && !all.checked;
    };
    label.hidden = false;
    all.addEventListener("change", () => {
        for (const box of boxes) {
            box.checked = all.checked;
        }
    });
    boxes.forEach((box) => box.addEventListener("change", show));
    addEventListener("pageshow", show); // after going back, the browser may have ticked some
}

setUpSelecting();
