'use strict';
// The theme that the user has chosen for all pages, unless the admin's own switch was used.
// After Django's script, and before anything is painted.
if (localStorage.getItem('theme') === null) {
    const preferred = document.querySelector('meta[name="preferred-theme"]').content;
    document.documentElement.dataset.theme = preferred;
}
