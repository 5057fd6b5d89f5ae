// A task of several requests: its form is posted repeatedly, in place so that nothing flashes,
// until the server redirects or "Stop here" is pressed.

const PAUSE = 100; // milliseconds, for "Stop here"

const form = document.querySelector("form[data-progress]");
const stop = form?.elements.namedItem("stop");
let stopping = false;

function continueTask() {
    // As without scripts: the server's page then says what is wrong.
    form.requestSubmit(stopping ? stop : form.elements.namedItem("confirm"));
}

function show(next) {
    for (const field of next.querySelectorAll("input[type=hidden]")) {
        form.elements.namedItem(field.name).value = field.value;
    }
    const bar = next.querySelector("progress");
    form.querySelector("progress").value = bar.value;
    form.querySelector("label").textContent = next.querySelector("label").textContent;
}

async function step() {
    // Not `form.action`, which a field of that name hides.
    const response = await fetch(form.getAttribute("action"), {
        method: "POST",
        body: new FormData(form),
        redirect: "manual",
    });
    if (response.type === "opaqueredirect") {
        location.assign(form.dataset.done);
        return;
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = page.querySelector("form[data-progress]");
    if (!response.ok || !next) {
        throw new Error(`The server answered ${response.status}.`);
    }
    show(next);
    if (stopping) {
        continueTask();
    } else {
        setTimeout(() => step().catch(continueTask), PAUSE);
    }
}

if (form) {
    let isOver = false;
    form.addEventListener("submit", (event) => {
        if (event.submitter === stop && !stopping) {
            // Finish and count the current slice.
            event.preventDefault();
            stopping = true;
            stop.value = "Stopping…";
        } else if (isOver) {
            event.preventDefault();
        } else {
            isOver = true;
        }
    });
    setTimeout(() => step().catch(continueTask), PAUSE);
}
