// Selecting many chats: all at once, or with Shift all from the last one.

function setUpSelecting() {
    const label = document.querySelector("[data-select-all]");
    if (!label) {
        return;
    }
    const all = label.querySelector("input");
    const boxes = Array.from(document.querySelectorAll("[name=chats]"));
    let last = null;
    const show = () => {
        const ticked = boxes.filter((box) => box.checked).length;
        all.checked = ticked === boxes.length;
        all.indeterminate = ticked > 0 && !all.checked;
        document.querySelector("[data-selected]").value = ticked ? `${ticked} selected` : "";
    };
    const tick = (chosen, checked) => {
        chosen.forEach((box) => { box.checked = checked; });
        show();
    };
    label.hidden = false;
    all.addEventListener("change", () => tick(boxes, all.checked));
    boxes.forEach((box, place) => box.addEventListener("click", (event) => {
        const [from, to] = [place, event.shiftKey && last !== null ? last : place].sort((a, b) => a - b);
        tick(boxes.slice(from, to + 1), box.checked);
        last = place;
    }));
    addEventListener("pageshow", show); // after going back, the browser may restore ticks
}

setUpSelecting();
