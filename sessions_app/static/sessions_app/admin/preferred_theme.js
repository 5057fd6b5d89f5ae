'use strict';
// The theme that the user has chosen for all pages, also for Django's script, which remembers one
// per browser. After that script, and before anything is painted.
{
    const preferred = document.querySelector('meta[name="preferred-theme"]').content || 'auto';
    localStorage.setItem('theme', preferred);
    document.documentElement.dataset.theme = preferred;
}
