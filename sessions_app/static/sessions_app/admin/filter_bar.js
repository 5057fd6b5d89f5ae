// The filters above a list: Escape or a click elsewhere closes an open one. It opens
// to the left if it would not fit.

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
