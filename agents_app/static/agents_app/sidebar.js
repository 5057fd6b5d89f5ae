// The sidebar: drawer and column, chat menus, updates.

import { JSON_TYPE, getHtml, post } from "./api.js";
import { fragmentOf } from "./dom.js";
import { showToast } from "./toast.js";

const POLL = 3000; // milliseconds, while an answer is being written
const COOKIE = "path=/; max-age=31536000; samesite=lax";
const CHAT = /^\/chats\/([0-9a-f-]{36})\/$/; // a chat page's path
const OPEN_MENU = "details.menu[open]";

const panel = document.querySelector("[data-sidebar-panel]");
const narrow = matchMedia("(max-width: 55.99rem)");
let timer = 0;

export function setUpSidebar() {
    document.addEventListener("click", closeMenus);
    document.addEventListener("keydown", closeOnEscape);
    document.addEventListener("click", act);
    if (!panel) {
        return;
    }
    document.addEventListener("click", openOrClose);
    panel.addEventListener("submit", pin);
    panel.addEventListener("toggle", showMenu, { capture: true });
    narrow.addEventListener("change", () => {
        panel.classList.remove("open");
        document.querySelector(".page").inert = false;
    });
    addEventListener("pagehide", () => {
        try {
            sessionStorage.setItem("sidebar position", list().scrollTop);
        } catch {
            // The storage may be full of drafts.
        }
    });
    for (const name of ["answer-started", "answer-ended"]) {
        document.addEventListener(name, refreshSidebar);
    }
    document.addEventListener("visibilitychange", refreshSidebar);
    poll();
}

/** Update the list, keeping the number of chats shown. */
export async function refreshSidebar() {
    if (!panel || document.visibilityState === "hidden") {
        return;
    }
    const count = list().querySelectorAll(".entry").length;
    const query = new URLSearchParams({ count: Math.min(Math.max(count, 40), 400) });
    const [, current] = CHAT.exec(location.pathname) ?? [];
    if (current) {
        query.set("current", current);
    }
    const html = await getHtml(`${panel.dataset.url}?${query}`).catch(() => null);
    // A dialog returns the focus to what opened it.
    if (html !== null && !document.querySelector(".sidebar details[open], dialog[open]")) {
        replaceList(html);
    }
    poll();
}

function replaceList(html) {
    const fresh = list().cloneNode();
    fresh.append(fragmentOf(html));
    if (fresh.isEqualNode(list())) {
        return;
    }
    const { scrollTop } = list();
    const focused = list().contains(document.activeElement) && document.activeElement;
    list().replaceChildren(...fresh.childNodes);
    list().scrollTop = scrollTop;
    if (focused) {
        (sameIn(list(), focused) ?? panel).focus();
    }
}

/** The link or chat menu that replaces a focused one. */
function sameIn(fresh, focused) {
    const link = focused.closest(".entry")?.querySelector("a") ?? focused;
    const same = fresh.querySelector(`a[href="${link.getAttribute("href")}"]`);
    return focused.matches("summary") ? same?.closest(".entry").querySelector("summary") : same;
}

/** Refresh again soon while an answer is being written. */
function poll() {
    clearTimeout(timer);
    if (list().querySelector("[data-answering]")) {
        timer = setTimeout(refreshSidebar, POLL);
    }
}

// --- Drawer and column --------------------------------------------------------

function openOrClose(event) {
    const opens = event.target.closest("[data-open-sidebar]");
    if (opens || event.target.closest("[data-close-sidebar]")) {
        event.preventDefault();
        setOpen(Boolean(opens));
    }
}

function setOpen(open) {
    if (narrow.matches) {
        panel.classList.toggle("open", open);
    } else {
        document.documentElement.dataset.sidebar = open ? "open" : "closed";
        document.cookie = `sidebar=${open ? "open" : "closed"}; ${COOKIE}`;
    }
    const isDrawer = narrow.matches && open;
    for (const element of document.querySelectorAll(".page, .skip")) {
        element.inert = isDrawer;
    }
    if (open) {
        panel.focus({ preventScroll: true });
    } else {
        document.querySelector("[data-open-sidebar]").focus({ preventScroll: true });
    }
}

// --- Menus --------------------------------------------------------------------

/** Close menus after a click outside, or on one of their items. */
function closeMenus({ target }) {
    for (const menu of document.querySelectorAll(OPEN_MENU)) {
        if (!menu.contains(target) || target.closest("a, button")) {
            close(menu);
        }
    }
}

function close(menu) {
    if (menu.contains(document.activeElement)) {
        menu.querySelector("summary").focus();
    }
    menu.open = false;
}

function closeOnEscape(event) {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) {
        return;
    }
    const menu = document.querySelector(OPEN_MENU);
    if (menu) {
        close(menu);
    } else if (panel?.classList.contains("open")) {
        setOpen(false);
    }
}

function showMenu(event) {
    if (event.target.matches("details[open]")) {
        event.target.querySelector(".menu-items").scrollIntoView({ block: "nearest" });
    }
}

async function act(event) {
    const link = event.target.closest("[data-rename], [data-delete], [data-more]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) {
        return;
    }
    event.preventDefault();
    try {
        if (link.dataset.more) {
            await showMore(link);
        } else if (link.dataset.rename !== undefined) {
            await rename(link);
        } else {
            await remove(link, event.detail === 0);
        }
    } catch (error) {
        showToast(error.message);
    }
}

async function showMore(link) {
    const more = fragmentOf(await getHtml(link.dataset.more, link.href));
    const first = more.querySelector(".chat");
    link.closest(".more").replaceWith(more);
    first?.focus();
}

async function rename(link) {
    const dialog = await import("./rename_dialog.js").catch(() => null);
    if (dialog) {
        const entry = link.closest(".entry");
        const name = entry?.querySelector(".chat-name").textContent ?? link.dataset.rename;
        dialog.askForName(link.href, name, renamed);
    } else {
        location.assign(link.href); // the page for use without scripts
    }
}

function renamed(url, name) {
    if (isCurrent(url)) {
        document.querySelector(".chat-head h1").textContent = name;
        document.querySelector(".chat-head [data-rename]").dataset.rename = name;
        document.title = document.title.replace(/^.*( – )/s, (_, dash) => name + dash);
    }
    refreshSidebar();
}

async function remove(link, byKeyboard) {
    if (isCurrent(link.href)) {
        const form = document.querySelector("#chat-action");
        form.action = link.href;
        form.submit(); // the next page reports it and offers Undo
        return;
    }
    const deleted = await postTo(link.href);
    await refreshSidebar();
    showToast(deleted.text, "Undo", async () => {
        panel.focus();
        await postTo(panel.dataset.restore, { trashed_at: deleted.trashed_at });
        await refreshSidebar();
    }, byKeyboard);
}

async function pin(event) {
    if (event.target.id !== "chat-action") {
        return;
    }
    event.preventDefault();
    const { formAction, name, value } = event.submitter;
    try {
        await postTo(formAction, name ? { [name]: value } : {});
        await refreshSidebar();
    } catch (error) {
        showToast(error.message);
    }
}

async function postTo(url, fields = {}) {
    const form = document.createElement("form");
    form.action = url;
    for (const [name, value] of Object.entries(fields)) {
        form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    return (await post(form, JSON_TYPE)).json();
}

/** Whether a URL is below that of the chat shown. */
function isCurrent(url) {
    return CHAT.test(location.pathname) && new URL(url).pathname.startsWith(location.pathname);
}

function list() {
    return panel.querySelector("[data-sidebar-chats]");
}
