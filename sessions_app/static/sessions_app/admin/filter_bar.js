// The filters above a list: an open one is closed by Escape and by a press elsewhere,
// and opens to the left where it would not fit.

const bar = document.querySelector(".list-filters");

function close() {
    const open = bar?.querySelector("details[open]");
    open?.removeAttribute("open");
    return open;
}

for (const filter of bar?.querySelectorAll("details") ?? []) {
    filter.addEventListener("toggle", () => {
        filter.classList.remove("opens-left");
        const { right } = filter.lastElementChild.getBoundingClientRect();
        filter.classList.toggle("opens-left", filter.open && right > bar.getBoundingClientRect().right);
    });
}

document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close()?.querySelector("summary").focus();
});
document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".list-filters details[open]")) close();
});
